"""A real training on a whole radiograph of 4188 x 4188 px, in float32, on the CPU.

    python benchmarks/native.py OUT [--steps 10] [--spacing-mm 0.1]

Makes a dataset in OUT of two synthetic dogs, one to train on and one to validate on, and runs
`radenhance fit --config full_resolution.yaml` on it: ResNet-34, Adam, a learning rate of 0.001,
no augmentation, an image a step. Given are the loss of every step, the time of one, the loss on the
other dog, and the highest resident memory of the process, in which Python, PyTorch and the heap are
included. What plain training would need is planned, not run.
"""

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance import metric_names
from radenhance.dataset.manifest import Split, write_manifest
from radenhance.flags.recipes import recipes
from radenhance.phantoms.radiograph import Animal, dataset_of, phantom
from radenhance.planning.planned_run import PlannedRun
from radenhance.prepare.folder import made_whole
from radenhance.prepare.target import make_target

GIB = 2**30
DOGS: dict[Split, Animal] = {"train": Animal("dog", 37, 1, 0), "val": Animal("dog", 24, 1, 0)}
"""Great Danes, which fill the largest field: 418.8 mm a side."""


def make_dataset(root: Path, spacing_mm: float) -> int:
    """Make a dataset of two radiographs and return the side of the one to train on, in pixels."""
    side = round(max(DOGS["train"].field_mm) / spacing_mm)
    if root.exists():
        return side
    with made_whole(root) as folder:
        pairs = []
        for split, dog in DOGS.items():
            raw = folder / "raw" / f"{split}.dcm"
            raw.parent.mkdir(exist_ok=True)
            dataset_of(phantom(dog, spacing_mm=spacing_mm)).save_as(raw, enforce_file_format=True)
            pairs.append(replace(make_target(folder, raw), split=split))
        write_manifest(folder, pairs)
    return side


def flags(root: Path, out: Path, steps: int) -> list[str]:
    words = {
        "--config": recipes()["full_resolution.yaml"],
        "--data.root": root.resolve(),
        "--data.augment": "false",
        "--data.num_workers": 0,
        "--trainer.accelerator": "cpu",
        "--trainer.max_steps": steps,
        "--trainer.max_epochs": steps,
        "--trainer.check_val_every_n_epoch": steps,
        "--trainer.num_sanity_val_steps": 0,
        "--trainer.log_every_n_steps": 1,
        "--trainer.enable_progress_bar": "false",
        "--trainer.default_root_dir": out.resolve(),
    }
    return [str(word) for pair in words.items() for word in pair]


def train(words: list[str], out: Path) -> int:
    """Run the fit in a process of its own and return its highest resident memory in bytes.

    A heap that gives large blocks back to the system as they are set free holds what is in use.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MALLOC_MMAP_THRESHOLD_": str(2**20),
        "MALLOC_TRIM_THRESHOLD_": str(2**20),
    }
    with (out / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "radenhance", "fit", *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the fit failed; see {out / 'log'}")
    return usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--spacing-mm", type=float, default=0.1, help="0.1 gives 4188 px")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    side = make_dataset(options.out / f"dogs-{options.spacing_mm}mm", options.spacing_mm)
    words = flags(options.out / f"dogs-{options.spacing_mm}mm", options.out, options.steps)
    peak = train(words, options.out)
    planned = PlannedRun(words).plan((side, side))
    plain = PlannedRun(["--config", str(recipes()["original.yaml"])]).plan((side, side))
    newest = max(
        options.out.glob("lightning_logs/version_*"), key=lambda path: path.stat().st_mtime
    )
    events = EventAccumulator(str(newest)).Reload()
    losses = [event.value for event in events.Scalars(metric_names.TRAIN_LOSS_STEP)]
    seconds = [event.value for event in events.Scalars(metric_names.STEP_S)]
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {side} x {side} px, "
        f"{len(losses)} steps\n\n"
        f"- training loss by step: {', '.join(f'{loss:.2f}' for loss in losses)}\n"
        f"- validation loss after them: {events.Scalars(metric_names.VAL_LOSS)[-1].value:.2f}\n"
        f"- seconds a step, median: {statistics.median(seconds):.0f}\n"
        f"- highest resident memory of the process: {peak / GIB:.2f} GiB\n"
        f"- tensors, planned: {planned.peak_bytes / GIB:.2f} GiB; plain training "
        f"{plain.peak_bytes / GIB:.2f} GiB"
    )


if __name__ == "__main__":
    main()
