"""The presets of the reference enhancer side by side, for a radiologist to choose from."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from radenhance.arrays import Points
from radenhance.contact_sheet import TILE, Row, write_contact_sheet
from radenhance.dataset.normalize import exposed_field, intensity_range, normalize
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import read
from radenhance.errors import RadenhanceError, RadiographError
from radenhance.inference.model import ReferenceEnhancer
from radenhance.inference.sources import Candidate
from radenhance.reference_enhancer.presets import PRESETS

MOST_IMAGES = 8
RAW = "raw"


def write_preset_sheet(path: Path, candidates: Sequence[Candidate]) -> int:
    """Write a sheet with a column per preset: each radiograph whole, and a part pixel by pixel.

    Args:
        path: The PNG file to write.
        candidates: Files, of which the first that are radiographs are shown, at most 8.

    Returns:
        The number of radiographs shown.

    Raises:
        RadenhanceError: None of them can be shown, or the file cannot be written.
    """
    radiographs = islice(_radiographs(candidates), MOST_IMAGES)
    rows = [row for number, one in enumerate(radiographs, 1) for row in _rows(number, one)]
    if not rows:
        raise RadenhanceError("no raw radiograph is among these files, of which to draw a sheet")
    write_contact_sheet(path, rows)
    return len(rows) // 2


def _radiographs(candidates: Sequence[Candidate]) -> Iterator[Radiograph]:
    """Yield those that can be read; to say why others cannot is the business of a real run."""
    for candidate in candidates:
        if candidate.error is None:
            with suppress(RadiographError):
                yield read(candidate.found.path)


def _rows(number: int, radiograph: Radiograph) -> Iterator[Row]:
    unit = normalize(radiograph)
    field = exposed_field(radiograph, unit)
    low, high = intensity_range(radiograph, field)
    images = {RAW: np.clip((unit - low) / (high - low), 0, 1)}
    images |= {preset: ReferenceEnhancer(preset)(radiograph) for preset in PRESETS}
    part = _part_around(field.mean(axis=0), radiograph.shape)
    yield Row(f"image {number}", list(images.values()), list(images))
    title = f"image {number}, {TILE} pixels of it"
    yield Row(title, [image[part] for image in images.values()], list(images))


def _part_around(middle: Points, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of a square around (x, y), moved into the image."""
    starts = (
        max(min(int(centre) - TILE // 2, length - TILE), 0)
        for centre, length in zip(middle[::-1], shape, strict=True)
    )
    rows, columns = (slice(start, start + TILE) for start in starts)
    return rows, columns
