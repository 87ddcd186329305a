"""Final validation losses of every recipe at a small scale, over seeds, beside the original's.

    python benchmarks/parity.py OUT [--rows float32|reduced|all] [--seeds 0,1,2] [--epochs 12]

Runs `radenhance fit` once per recipe and seed, on synthetic radiographs made in OUT; what is done
is not done again, so that it goes on after being stopped. Reduced precision is about ten times
slower than float32 on a CPU: those rows, and an original beside them, run on smaller images. On a
CPU, 16-mixed means bfloat16, which has fewer digits than float16.
"""

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance import keys


@dataclass(frozen=True)
class Scale:
    """What the rows of one table have in common."""

    recipes: tuple[str, ...]
    image_size: int
    num_scales: int
    batch_size: int
    epochs: int


SCALES = {
    "float32": Scale(("original", "chkp", "mom", "chkp_mom", "quant"), 192, 5, 4, 12),
    "reduced": Scale(("original", "amp", "amp_chkp", "amp_quant", "amp_chkp_mom"), 96, 4, 8, 8),
}


def run(recipe: str, scale: Scale, seed: int, out: Path) -> float:
    """Train, unless that is done, and return the validation loss of the last epoch."""
    folder = out / f"{recipe}-{scale.image_size}px-{scale.epochs}epochs-seed{seed}"
    done = folder / "done"
    if not done.exists():
        flags = {
            "--config": f"{recipe}.yaml",
            "--seed_everything": seed,
            "--model.encoder": "resnet18",
            "--model.num_scales": scale.num_scales,
            "--model.optimizer": "torch.optim.Adam",
            "--model.optimizer.lr": 0.002,
            "--data.image_size": scale.image_size,
            "--data.batch_size": scale.batch_size,
            "--trainer.max_epochs": scale.epochs,
            "--trainer.accelerator": "cpu",
            "--trainer.enable_progress_bar": "false",
            "--trainer.default_root_dir": folder.resolve(),
        }
        words = [str(word) for pair in flags.items() for word in pair]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("w") as log:
            subprocess.run(
                [sys.executable, "-m", "radenhance", "fit", *words],
                cwd=out,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        done.touch()
    newest = max(folder.glob("lightning_logs/version_*"), key=lambda path: path.stat().st_mtime)
    events = EventAccumulator(str(newest)).Reload()
    return float(events.Scalars(keys.VAL_LOSS)[-1].value)


def table(scale: Scale, seeds: list[int], out: Path) -> None:
    print(
        f"\n{scale.image_size} px, {scale.num_scales} scales, batch {scale.batch_size}, "
        f"{scale.epochs} epochs, resnet18, seeds {seeds}\n"
    )
    print("| recipe | validation loss | seeds | against original | allowed | holds |")
    print("|---|---:|---|---:|---:|---|")
    original, allowed = 0.0, 0.0
    for recipe in scale.recipes:
        losses = [run(recipe, scale, seed, out) for seed in seeds]
        mean = statistics.mean(losses)
        if recipe == "original":
            original = mean
            allowed = max(0.02 * mean, max(losses) - min(losses))
        each = ", ".join(f"{loss:.3f}" for loss in losses)
        holds = "yes" if mean <= original + allowed else "no"
        print(
            f"| {recipe} | {mean:.3f} | {each} | {mean - original:+.3f} "
            f"| {allowed:.3f} | {holds} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", choices=[*SCALES, "all"], default="all")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, help="instead of each table's own number")
    parser.add_argument("--recipes", help="only these, separated by commas")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for name, scale in SCALES.items():
        if options.rows in (name, "all"):
            changes = {}
            if options.epochs:
                changes["epochs"] = options.epochs
            if options.recipes:
                changes["recipes"] = tuple(options.recipes.split(","))
            table(replace(scale, **changes), seeds, options.out)


if __name__ == "__main__":
    main()
