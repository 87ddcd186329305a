"""Claim: fused upsampling and a fused optimizer make a plain step quicker at the same function.

    python benchmarks/quick.py
    python benchmarks/quick.py --sizes 512,1024 --repeats 7

Trains plainly with the library's own operations (`fused_upsampling false`) and with each change, in
turns, in one process, and gives the ratio of the medians and the smallest and the largest ratio of
a pair. The first command takes about two minutes on a core that does nothing else.
"""

import argparse
import functools

import harness
import torch

from radenhance.planning.planned_run import PlannedRun

LIBRARY = {"model.memory.fused_upsampling": False}
CHANGES = {
    "fused upsampling": {},
    "fused optimizer": LIBRARY | {"model.fused_optimizer": True},
    "both": {"model.fused_optimizer": True},
}


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=harness.listed_numbers, default="512",
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--repeats", type=int, default=5, help="pairs of steps for each change")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(
        f"{options.encoder}, batch 1, Adam, float32, {torch.get_num_threads()} threads"
    )
    run = PlannedRun([f"--model.encoder={options.encoder}", "--model.num_scales=auto"])
    columns = ("px", "time / library's", "lowest", "highest")
    with harness.table("change", *columns, names=CHANGES) as row:
        for size in options.sizes:
            batch = run.batch((size, size))
            library = functools.partial(run.with_flags(LIBRARY).step(), batch)
            for name, flags in CHANGES.items():
                step = functools.partial(run.with_flags(flags).step(), batch)
                ratio = harness.paired(library, step, options.repeats)
                row(name, size, *(f"{r:.2f}" for r in (ratio.median, ratio.lowest, ratio.highest)))


if __name__ == "__main__":
    main(parser().parse_args())
