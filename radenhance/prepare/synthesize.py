"""A dataset folder of synthetic radiographs: `radenhance synthesize`.

The raw halves are FOR PROCESSING DICOM of phantoms; the targets are what the reference enhancer
makes of the raw files, read back as any other file would be.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class _Job:
    folder: Path
    case_id: str
    animal: Animal
    spacing_mm: float
    preset: str


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance synthesize OUT`."""
    parser = argparse.ArgumentParser(
        prog="radenhance synthesize",
        description="Make a dataset of synthetic radiographs: raw DICOM files and targets.",
    )
    parser.add_argument("out", type=Path, help="folder to make; it must not exist yet")
    for species, count in PAPER_COUNTS.items():
        parser.add_argument(
            f"--{species}s", type=int, default=count, help=f"radiographs of {species}s ({count})"
        )
    parser.add_argument(
        "--spacing-mm",
        type=float,
        default=SPACING_MM,
        help=f"detector pixel in millimetres ({SPACING_MM}); 0.1 gives sides of up to 4200 pixels",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (0)")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="default", help="of the reference enhancer"
    )
    add_processes_flag(parser)
    options = parser.parse_args(arguments[1:])
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
    """Make the dataset folder `root`, whole or not at all, on all cores.

    Args:
        root: Must not exist.
        counts: Radiographs per species (cat, dog, turtle); the paper's 24, 34 and 2 when None, with
            its 6, 5 and 1 for validation. Of other numbers a fifth of each species validates.
        spacing_mm: Distance of detector pixels.
        seed: Equal seeds make equal files.
        preset: Of the reference enhancer.
        num_processes: At most so many images at once; one per core when None.

    Raises:
        UsageError: `root` exists, or a number is out of range.
    """
    counts = PAPER_COUNTS if counts is None else counts
    if root.exists():
        raise UsageError(f"{root} exists already; choose another folder, or remove it first")
    if min(counts.values()) < 0 or sum(counts.values()) == 0 or not 0.05 <= spacing_mm <= 2:
        raise UsageError(
            f"cannot make {counts} radiographs with pixels of {spacing_mm} mm; expected some "
            f"radiographs and 0.05 to 2 mm"
        )
    plan = plan_animals(counts["cat"], counts["dog"], counts["turtle"], seed=seed)
    with made_whole(root) as folder:
        jobs = [
            _Job(folder, f"{animal.species}{i:03d}", animal, spacing_mm, preset)
            for i, animal in enumerate(plan)
        ]
        made = in_parallel(_make, jobs, title=f"Making {root}", num_processes=num_processes)
        pairs = list(made)
        val = PAPER_VALIDATION if counts == PAPER_COUNTS else 0.2
        write_manifest(folder, split_by_patient(pairs, val=val, seed=seed))


def _make(job: _Job) -> Pair:
    raw = job.folder / "raw" / f"{job.case_id}.dcm"
    made = phantom(job.animal, spacing_mm=job.spacing_mm)
    dataset_of(made).save_as(raw, enforce_file_format=True)
    return make_target(job.folder, raw, preset=job.preset)
