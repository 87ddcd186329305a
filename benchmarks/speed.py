"""Claim: what a technique costs in time is known, as a ratio to plain training.

    python benchmarks/speed.py
    python benchmarks/speed.py --size 512

Trains with each recipe's techniques and with the original's in turns, in one process, and gives the
ratio of the medians and the smallest and the largest ratio of a pair. On a CPU, 16-mixed is
bfloat16. The first command takes about two minutes on two cores, the second ten.
"""

import argparse
import functools

import harness
import torch

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--repeats", type=int, default=5, help="pairs of steps for each recipe")
    flags.add_argument("--recipes", type=harness.listed, help="recipes without .yaml; all if none")
    return flags


def main(options: argparse.Namespace) -> None:
    recipes = {
        name.removesuffix(".yaml"): techniques
        for name, techniques in techniques_of_recipes().items()
    }
    names = harness.chosen(options.recipes, list(recipes))
    harness.print_heading(
        f"{options.encoder}, {options.size} px, batch 1, Adam, {torch.get_num_threads()} threads"
    )
    run = PlannedRun([f"--model.encoder={options.encoder}"])
    batch = run.batch((options.size, options.size))
    original = functools.partial(run.step(), batch)
    with harness.table("recipe", "time / original", "lowest", "highest", names=names) as row:
        for name in names:
            step = functools.partial(run.with_flags(recipes[name]).step(), batch)
            ratio = harness.paired(original, step, options.repeats)
            row(name, f"{ratio.median:.2f}", f"{ratio.lowest:.2f}", f"{ratio.highest:.2f}")


if __name__ == "__main__":
    main(parser().parse_args())
