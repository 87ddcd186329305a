"""Time of a training step under each recipe's techniques, in pairs with the original's.

    python benchmarks/speed.py [--size 512] [--encoder resnet34] [--repeats 5] [--recipes ...]

Steps of both alternate in one process, so that what else the machine does falls on both; given are
the medians' ratio and the smallest and largest ratio of a pair. On a CPU, 16-mixed is bfloat16.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import torch

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes


def seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--recipes", help="only these, separated by commas")
    options = parser.parse_args()
    recipes = techniques_of_recipes()
    if options.recipes:
        recipes = {f"{name}.yaml": recipes[f"{name}.yaml"] for name in options.recipes.split(",")}
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.encoder}, "
        f"{options.size} px, batch 1, Adam\n"
    )
    print("| recipe | time / original | of pairs |\n|---|---:|---|")
    run = PlannedRun([f"--model.encoder={options.encoder}"])
    batch = run.batch((options.size, options.size))
    original = functools.partial(run.step(), batch)
    original()
    for name, flags in recipes.items():
        step = functools.partial(run.with_flags(flags).step(), batch)
        step()
        pairs = [(seconds(original), seconds(step)) for _ in range(options.repeats)]
        before, after = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = sorted(mine / plain for plain, mine in pairs)
        print(
            f"| {name} | {after / before:.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
