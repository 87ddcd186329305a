"""Claim: how well `radenhance plan --search` orders recipes by time on this machine is known.

    python benchmarks/ranking.py
    python benchmarks/ranking.py --sizes 512,1024
    python benchmarks/ranking.py --calibrate

Trains with each recipe's techniques in turns, in one process, and gives for each size the seconds
of a step beside the plan's time, both as ratios to the quickest, and the share of pairs of recipes
that the plan has in the right order. Pairs whose measured times differ by less than 3 % count as
neither right nor wrong. The seconds are of the processor, so that others on the machine matter
little. On a CPU, 16-mixed is bfloat16. With `--calibrate` this machine is measured first, as by
`radenhance plan --calibrate`, with another encoder; without, the plan's time is what that left
here. The first command takes about three minutes on one core.
"""

import argparse
import functools
import itertools
import statistics
import time

import harness
import torch

from radenhance.planning.calibration import calibrate, calibrated
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes
from radenhance.planning.traffic import MIDDLE_CARD

NO_DIFFERENCE = 0.03
"""Times that differ by less, as a share, are not put in an order."""


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument(
        "--sizes", type=harness.listed_numbers, default="256,512", help="sides in pixels"
    )
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--repeats", type=int, default=3, help="steps of each recipe")
    flags.add_argument("--recipes", type=harness.listed, help="recipes without .yaml; all if none")
    flags.add_argument("--calibrate", action="store_true", help="measure this machine first")
    return flags


def processor_seconds(function: functools.partial[None]) -> float:
    """Return the processor's time of a call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def pairs_in_order(planned: list[float], measured: list[float]) -> tuple[int, int]:
    """Return how many pairs the plan has in the order of the clock, and how many have one."""
    right = []
    for first, second in itertools.combinations(zip(planned, measured, strict=True), 2):
        (plan, seconds), (other_plan, other_seconds) = sorted((first, second), key=lambda t: t[1])
        if other_seconds > seconds * (1 + NO_DIFFERENCE):
            right.append(plan < other_plan)
    return sum(right), len(right)


def measure(runs: dict[str, PlannedRun], side: int, repeats: int) -> list[float]:
    """Return the median seconds of a step of each run, after one that does not count."""
    batch = next(iter(runs.values())).batch((side, side))
    steps = [functools.partial(run.step(), batch) for run in runs.values()]
    for step in steps:
        step()
    rounds = [[processor_seconds(step) for step in steps] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def main(options: argparse.Namespace) -> None:
    recipes = {
        name.removesuffix(".yaml"): techniques
        for name, techniques in techniques_of_recipes().items()
    }
    names = harness.chosen(options.recipes, list(recipes))
    harness.print_heading(f"{options.encoder}, batch 1, {torch.get_num_threads()} threads")
    speed = calibrate() if options.calibrate else calibrated()
    print(speed or "the planner's own card, not calibrated", end="\n\n", flush=True)
    run = PlannedRun([f"--model.encoder={options.encoder}"], speed or MIDDLE_CARD)
    runs = {name: run.with_flags(recipes[name]) for name in names}
    for side in options.sizes:
        print(f"{side} px\n")
        planned = [one.plan((side, side)).seconds for one in runs.values()]
        measured = measure(runs, side, options.repeats)
        with harness.table("recipe", "planned", "measured", "seconds", names=names) as row:
            for name, plan, seconds in zip(names, planned, measured, strict=True):
                ratios = (plan / min(planned), seconds / min(measured))
                row(name, *(f"{ratio:.2f}" for ratio in ratios), f"{seconds:.2f}")
        right, num = pairs_in_order(planned, measured)
        print(f"{right} of {num} pairs in order\n", flush=True)


if __name__ == "__main__":
    main(parser().parse_args())
