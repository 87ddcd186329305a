"""The pairs of a dataset as a picture, those with problems first.

Eyes see in a second what no threshold knows: another patient, another view, text in the image.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from radenhance.contact_sheet import Row, write_contact_sheet
from radenhance.dataset.description import Declarations, load_declarations
from radenhance.dataset.normalize import exposed_field, intensity_range, normalize
from radenhance.dicom.read import read
from radenhance.errors import RadiographError
from radenhance.prepare.check.alignment import Image, detail_of
from radenhance.prepare.check.findings import PairFindings

NUM_ROWS = 12
ENLARGED_PX = 120
"""Side in pixels of the part whose differences are shown."""

_NOTHING = np.zeros((8, 8), np.float32)


def write_check_sheet(path: Path, root: Path, findings: Sequence[PairFindings]) -> None:
    """Write a PNG of up to 12 pairs: raw in its intensity range | target | difference of detail.

    Args:
        path: Path of the PNG.
        root: The dataset folder.
        findings: The findings in the folder's pairs.
    """
    used = [e for e in findings if e.pair.accept]
    used.sort(key=lambda e: 0 if e.faults else 1 if e.warnings else 2)
    declarations = load_declarations(root)
    write_contact_sheet(path, [_row(root, declarations, e) for e in used[:NUM_ROWS]])


def difference(raw: Image, target: Image) -> Image:
    """Return the difference of local detail, in [0, 1], of the part that has most detail.

    It is grey where both show the same edges. A target that is shifted looks embossed; one that is
    inverted shows every edge double.

    Args:
        raw: The raw image, shape (rows, columns), in [0, 1].
        target: The target, same shape and range.
    """
    details = [
        detail_of(np.asarray(cv2.GaussianBlur(image, (0, 0), 1), np.float32))
        for image in (raw, target)
    ]
    area = _busiest(np.abs(details[0] * details[1]))
    one, other = (detail[area] / (float(detail[area].std()) or 1.0) for detail in details)
    return np.asarray(0.5 + (one - other) / 8, np.float32)


def _busiest(detail: Image) -> tuple[slice, ...]:
    """Return the square of up to 120 pixels that has most detail in both images.

    Args:
        detail: Product of the details of both: noise beside a blackened border is in one alone.
    """
    part = tuple(min(ENLARGED_PX, side) for side in detail.shape)
    busy = cv2.boxFilter(detail, -1, part[::-1], borderType=cv2.BORDER_CONSTANT)
    middle = np.unravel_index(np.argmax(busy), busy.shape)
    return tuple(
        slice(first := min(max(int(m) - n // 2, 0), side - n), first + n)
        for m, n, side in zip(middle, part, detail.shape, strict=True)
    )


def _row(root: Path, declarations: Declarations, e: PairFindings) -> Row:
    problems = [*e.faults, *e.warnings]
    title = f"{e.case} ({e.pair.split}): {problems[0] if problems else 'ok'}"
    raw = target = compared = _NOTHING
    try:
        radiograph = read(root / e.pair.raw_path, declaration=declarations.raw)
        unit = normalize(radiograph)
        low, high = intensity_range(radiograph, exposed_field(radiograph, unit))
        raw = (unit - np.float32(low)) / np.float32(high - low)
        path = root / e.pair.target_path
        target = normalize(read(path, declaration=declarations.target, for_presentation=True))
    except RadiographError:
        assert e.faults  # which the title tells
    if raw.shape == target.shape and raw is not _NOTHING:
        compared = difference(raw, target)
    return Row(
        title=title,
        images=[raw, target, compared],
        captions=["raw in its intensity range", "target", "difference of detail, magnified"],
    )
