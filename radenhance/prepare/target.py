"""Targets that the reference enhancer makes of raw files."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
        raw: A file below it.
        preset: Name of a preset of the reference enhancer.

    Raises:
        RadiographError: The raw file cannot be read.
    """
    radiograph = read(raw)
    target = root / "target" / f"{stem_of(raw)}.png"
    write_png(target, reference_target(radiograph, preset=preset))
    raw_hash = sha256_of(raw)
    return describe(
        root,
        raw,
        target,
        radiograph.header,
        **image_columns(radiograph),
        **algorithm_columns(preset),
        raw_sha256=raw_hash,
        source_sha256=raw_hash,
        target_sha256=sha256_of(target),
    )


def reference_target(radiograph: Radiograph, *, preset: str) -> npt.NDArray[np.float32]:
    """Return what the reference enhancer makes of a raw radiograph, shape (H, W), in [0, 1]."""
    spacing = radiograph.spacing_mm
    return enhance(
        normalize(radiograph),
        valid=radiograph.valid,
        spacing_mm=None if spacing is None else sum(spacing) / 2,
        preset=preset,
    )


def algorithm_columns(preset: str) -> dict[str, str]:
    """Return the columns that tell how the reference enhancer made a target."""
    return {
        "target_algo": f"{ALGORITHM} {preset}",
        "target_algo_hash": PRESETS[preset].fingerprint(),
    }


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
