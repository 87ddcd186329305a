"""Targets that the reference enhancer makes of raw files.

It reads the raw file as training does, so that a target fits what the network will see.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radenhance.arrays import Points
from radenhance.dataset.manifest import Pair, describe, image_columns, stem_of
from radenhance.dataset.normalize import normalize
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import read
from radenhance.dicom.write import write_png
from radenhance.reference_enhancer.enhance import ALGORITHM, PRESETS, enhance


def make_target(root: Path, raw: Path, *, preset: str = "default") -> Pair:
    """Write target/STEM.png for a raw file and return the line for the manifest.

    Args:
        root: The dataset folder.
        raw: Path of a raw file in that folder.
        preset: Name of a preset of the reference enhancer.

    Raises:
        RadiographError: The raw file cannot be read.
    """
    radiograph = read(raw)
    target = root / "target" / f"{stem_of(raw)}.png"
    write_png(target, reference_target(radiograph, preset=preset))
    raw_hash = sha256_of(raw)
    hashes = {"raw_sha256": raw_hash, "source_sha256": raw_hash, "target_sha256": sha256_of(target)}
    columns = image_columns(radiograph) | algorithm_columns(preset) | hashes
    return describe(root, raw, target, radiograph.header, **columns)


def reference_target(
    radiograph: Radiograph, *, preset: str, field: Points | None = None
) -> npt.NDArray[np.float32]:
    """Return the target that the reference enhancer makes, shape (rows, columns), in [0, 1].

    Args:
        radiograph: The raw radiograph.
        preset: Name of a preset of the reference enhancer.
        field: Corners of its exposed field; None has it found.
    """
    spacing = radiograph.spacing_mm
    return enhance(
        normalize(radiograph),
        valid=radiograph.valid,
        spacing_mm=None if spacing is None else sum(spacing) / 2,
        preset=preset,
        corners=field,
    )


def algorithm_columns(preset: str) -> dict[str, str]:
    """Return the columns of the manifest that tell how the reference enhancer made a target."""
    return {
        "target_algo": f"{ALGORITHM} {preset}",
        "target_algo_hash": PRESETS[preset].fingerprint(),
    }


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
