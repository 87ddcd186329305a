"""Claim: a whole radiograph of 4188 x 4188 px trains in float32 in under 6 GiB.

    python benchmarks/native.py
    python benchmarks/native.py OUT --spacing-mm 0.1 --steps 10

Makes a dataset of two synthetic dogs, one to train on and one to validate on, and runs `radenhance
fit --config full_resolution.yaml` on it, with the paper's output and loss: ResNet-34, Adam, a
learning rate of 0.001, no augmentation, an image a step. Prints the loss of every step, the time of
one, the loss on the other dog, and the highest resident memory of the process, in which Python,
PyTorch and the heap are included. What plain training would need is planned, not run. The first
command, at 1047 px, takes about two minutes on two cores, the second 40, and its files stay in OUT.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import harness

from radenhance import metric_names
from radenhance.dataset.manifest import Split, write_manifest
from radenhance.flags.recipes import recipes
from radenhance.phantoms.radiograph import Animal, dataset_of, phantom
from radenhance.planning.planned_run import PlannedRun
from radenhance.prepare.folder import made_whole
from radenhance.prepare.target import make_target
from radenhance.reproduce.logs import last, scalars
from radenhance.units import GIB, MIB

DOGS: dict[Split, Animal] = {"train": Animal("dog", 37, 1, 0), "val": Animal("dog", 24, 1, 0)}
"""Great Danes, which fill the largest field: 418.8 mm a side."""

PEAK = metric_names.memory(metric_names.PEAK, metric_names.PROCESS_RSS)
SMALL_HEAP = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**20)}
"""Makes glibc return large blocks when they are released, so that the heap holds what is in use."""


def make_dataset(root: Path, spacing_mm: float) -> None:
    if root.exists():
        return
    with made_whole(root) as folder:
        pairs = []
        for split, dog in DOGS.items():
            raw = folder / "raw" / f"{split}.dcm"
            raw.parent.mkdir(exist_ok=True)
            dataset_of(phantom(dog, spacing_mm=spacing_mm)).save_as(raw, enforce_file_format=True)
            pairs.append(replace(make_target(folder, raw), split=split))
        write_manifest(folder, pairs)


def flags_of(root: Path, steps: int) -> dict[str, object]:
    return {
        "--config": recipes()["full_resolution.yaml"],
        "--data.root": root.resolve(),
        "--model.output": "image",
        "--model.l1_share": 0,
        "--data.outside_field": "keep",
        "--data.augment": "false",
        "--data.num_workers": 0,
        "--trainer.max_steps": steps,
        "--trainer.max_epochs": steps,
        "--trainer.check_val_every_n_epoch": steps,
        "--trainer.num_sanity_val_steps": 0,
        "--trainer.log_every_n_steps": 1,
    }


def planned_gib(recipe: str, side: int) -> float:
    run = PlannedRun(["--config", str(recipes()[f"{recipe}.yaml"])])
    return run.plan((side, side)).peak_bytes / GIB


def measure(out: Path, spacing_mm: float, steps: int) -> None:
    side = round(max(DOGS["train"].field_mm) / spacing_mm)
    harness.print_heading(f"{side} x {side} px, {steps} steps")
    root = out / f"dogs-{spacing_mm}mm"
    make_dataset(root, spacing_mm)
    harness.fit(flags_of(root, steps), out, SMALL_HEAP)
    logged = scalars(out)
    losses = logged[metric_names.TRAIN_LOSS_STEP].values()
    with harness.table(
        "figure", "value", names=["highest resident memory of the process, GiB"]
    ) as row:
        row("training loss by step", ", ".join(f"{loss:.2f}" for loss in losses))
        row("validation loss after them", f"{last(logged[metric_names.VAL_LOSS]):.2f}")
        step_s = statistics.median(logged[metric_names.STEP_S].values())
        row("seconds a step, median", f"{step_s:.1f}")
        peak_mib = max(logged[PEAK].values())
        row("highest resident memory of the process, GiB", f"{peak_mib * MIB / GIB:.2f}")
        row("tensors, planned, GiB", f"{planned_gib('full_resolution', side):.2f}")
        row("tensors of plain training, planned, GiB", f"{planned_gib('original', side):.2f}")


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument(
        "out", type=Path, nargs="?", help="new folder to keep; a temporary one if none"
    )
    flags.add_argument("--steps", type=int, default=2, help="training steps")
    flags.add_argument("--spacing-mm", type=float, default=0.4, help="pixel size; 0.1: 4188 px")
    return flags


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.out or Path(temporary), options.spacing_mm, options.steps)


if __name__ == "__main__":
    main(parser().parse_args())
