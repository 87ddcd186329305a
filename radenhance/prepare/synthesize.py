"""A dataset folder of synthetic radiographs: `radenhance synthesize`.

Everything can be tried and tested on it before any clinic has given its images. The raw files are
FOR PROCESSING DICOM of phantoms; the reference enhancer makes the targets of the raw files, read as
those of a clinic are.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from radenhance.console import Parser
from radenhance.dataset.manifest import Pair, write_manifest
from radenhance.dataset.split import split_by_patient
from radenhance.errors import UsageError
from radenhance.phantoms.radiograph import Animal, dataset_of, phantom, plan_animals
from radenhance.prepare.folder import made_whole
from radenhance.prepare.parallel import add_processes_flag, in_parallel
from radenhance.prepare.target import make_target
from radenhance.reference_enhancer.enhance import PRESETS

PAPER_COUNTS = {"cat": 24, "dog": 34, "turtle": 2}
PAPER_VALIDATION = {"cat": 6, "dog": 5, "turtle": 1}
SPACING_MM = 0.3


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance synthesize OUT`."""
    options = _parser().parse_args(arguments[1:])
    synthesize(
        options.out,
        counts={species: getattr(options, f"{species}s") for species in PAPER_COUNTS},
        spacing_mm=options.spacing_mm,
        seed=options.seed,
        preset=options.preset,
        num_processes=options.processes,
    )


def synthesize(
    root: Path,
    *,
    counts: dict[str, int] | None = None,
    spacing_mm: float = SPACING_MM,
    seed: int = 0,
    preset: str = "default",
    num_processes: int | None = None,
) -> None:
    """Make a dataset folder of synthetic radiographs, whole or not at all.

    Args:
        root: The folder to make; it must not exist.
        counts: Number of radiographs of each species (cat, dog, turtle). When None they are the
            paper's 24, 34 and 2, of which its 6, 5 and 1 are in split val; of other numbers a fifth
            of each species is.
        spacing_mm: Distance of pixel centres on the detector in mm, 0.05 to 2.
        seed: Seed of everything random; equal seeds make equal files.
        preset: Name of a preset of the reference enhancer.
        num_processes: Largest number of images to process at a time; one per core when None.

    Raises:
        UsageError: The folder exists, or a number is out of range.
    """
    counts = PAPER_COUNTS if counts is None else counts
    _check(root, counts, spacing_mm)
    plan = plan_animals(counts["cat"], counts["dog"], counts["turtle"], seed=seed)
    with made_whole(root) as folder:
        make = partial(_make_pair, folder, spacing_mm, preset)
        numbered = list(enumerate(plan))
        made = in_parallel(make, numbered, title=f"Making {root}", num_processes=num_processes)
        pairs = list(made)
        val = PAPER_VALIDATION if counts == PAPER_COUNTS else 0.2
        write_manifest(folder, split_by_patient(pairs, val=val, seed=seed))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="radenhance synthesize",
        description="Make a dataset of synthetic radiographs: raw DICOM files and targets.",
    )
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder to make; it must not exist yet")
    for species, count in PAPER_COUNTS.items():
        text = f"number of radiographs of {species}s (default: {count})"
        add(f"--{species}s", type=int, default=count, metavar="N", help=text)
    add(
        "--spacing-mm",
        type=float,
        default=SPACING_MM,
        metavar="MM",
        help=f"detector pixel in mm (default: {SPACING_MM}); 0.1 gives sides of up to 4200 pixels",
    )
    add("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    add(
        "--preset",
        choices=sorted(PRESETS),
        default="default",
        help="preset of the reference enhancer, which makes the targets (default: default)",
    )
    add_processes_flag(parser)
    return parser


def _check(root: Path, counts: dict[str, int], spacing_mm: float) -> None:
    if root.exists():
        raise UsageError(f"{root} exists already; choose another folder, or remove it first")
    if min(counts.values()) < 0 or sum(counts.values()) == 0 or not 0.05 <= spacing_mm <= 2:
        raise UsageError(
            f"cannot make {counts} radiographs with pixels of {spacing_mm} mm, expected at least "
            "one radiograph and 0.05 to 2 mm"
        )


def _make_pair(folder: Path, spacing_mm: float, preset: str, numbered: tuple[int, Animal]) -> Pair:
    number, animal = numbered
    raw = folder / "raw" / f"{animal.species}{number:03d}.dcm"
    made = phantom(animal, spacing_mm=spacing_mm)
    dataset_of(made).save_as(raw, enforce_file_format=True)
    return make_target(folder, raw, preset=preset)
