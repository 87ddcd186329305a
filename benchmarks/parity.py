"""Final validation losses of every recipe at a small scale, over seeds, beside the original's.

    python benchmarks/parity.py OUT [--seeds 0,1,2] [--epochs 12] [--recipes ...]

Runs `radenhance fit` once per recipe and seed, on synthetic radiographs made in OUT: ResNet-18,
192 px, batches of 4. What is done is not done again, so that it goes on after being stopped. A
recipe holds if its mean is at most the original's plus 2 %, or plus the spread of the original's
seeds, whichever is more. On a CPU, 16-mixed means bfloat16, which has fewer digits than float16.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance import metric_names

ORIGINAL = "original"
RECIPES = (
    "chkp",
    "mom",
    "chkp_mom",
    "quant",
    "amp",
    "amp_chkp",
    "amp_chkp_mom",
    "amp_quant",
)
IMAGE_SIZE = 192


def run(recipe: str, seed: int, epochs: int, out: Path) -> float:
    """Train, unless that is done, and return the validation loss of the last epoch."""
    folder = out / f"{recipe}-{IMAGE_SIZE}px-{epochs}epochs-seed{seed}"
    done = folder / "done"
    if not done.exists():
        flags = {
            "--config": f"{recipe}.yaml",
            "--seed_everything": seed,
            "--model.encoder": "resnet18",
            "--model.optimizer": "torch.optim.Adam",
            "--model.optimizer.lr": 0.002,
            "--data.image_size": IMAGE_SIZE,
            "--data.batch_size": 4,
            "--trainer.max_epochs": epochs,
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
    return float(events.Scalars(metric_names.VAL_LOSS)[-1].value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in options.seeds.split(",")]

    def losses_of(recipe: str) -> list[float]:
        return [run(recipe, seed, options.epochs, options.out) for seed in seeds]

    print(
        f"torch {torch.__version__}, ResNet-18, {IMAGE_SIZE} px, batch 4, {options.epochs} epochs, "
        f"seeds {seeds}\n"
    )
    print("| recipe | validation loss | seeds | against original | allowed | holds |")
    print("|---|---:|---|---:|---:|---|")
    original = losses_of(ORIGINAL)
    mean = statistics.mean(original)
    allowed = max(0.02 * mean, max(original) - min(original))
    for recipe in (ORIGINAL, *options.recipes.split(",")):
        losses = losses_of(recipe)
        more = statistics.mean(losses) - mean
        each = ", ".join(f"{loss:.3f}" for loss in losses)
        print(
            f"| {recipe} | {mean + more:.3f} | {each} | {more:+.3f} | {allowed:.3f} "
            f"| {'yes' if more <= allowed else 'no'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
