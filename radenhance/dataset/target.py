"""Targets that the reference enhancer makes of raw files."""

from pathlib import Path

from radenhance.dataset.manifest import Pair, describe
from radenhance.dataset.normalize import normalize
from radenhance.dataset.reference import ALGORITHM, PRESETS, enhance
from radenhance.dicom.read import read
from radenhance.dicom.write import write_png


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
    spacing = radiograph.spacing_mm
    enhanced = enhance(
        normalize(radiograph),
        valid=radiograph.valid,
        spacing_mm=None if spacing is None else sum(spacing) / 2,
        preset=preset,
    )
    target = root / "target" / f"{raw.stem}.png"
    write_png(target, enhanced)
    algorithm = f"{ALGORITHM} {preset}"
    return describe(
        root,
        raw,
        target,
        radiograph.header,
        target_algo=algorithm,
        target_algo_hash=PRESETS[preset].fingerprint(),
    )
