"""Claim: bands by stages take the least memory, for more work than bands by units.

    python benchmarks/by_stages.py
    python benchmarks/by_stages.py --sizes 512 --repeats 5

Plans a step of one image with MS-SSIM and Adam on fake tensors: peak and what is alive at the end
of the forward pass, in MiB of tensors; operations in 10^12, and bytes that operators read and write
in 10^9. With `--repeats`, real steps follow, in turns with plain ones in one process, and their
processor time is given as a ratio to that of plain training (of the medians; smallest and largest
of a pair). The first command takes half a minute on a core that does nothing else.
"""

import argparse
import functools
import time
from collections.abc import Callable

import harness

from radenhance.planning.planned_run import PlannedRun
from radenhance.units import MIB

KINDS = {
    "plain": {},
    "bands": {"model.memory.band_rows": "auto"},
    **{
        f"bands by {mode}s": {
            "model.memory.band_rows": "auto",
            "model.memory.checkpointing": mode,
        }
        for mode in ("unit", "stage")
    },
}


def processor_time(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=harness.listed_numbers, default="1024,4096",
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--repeats", type=int, default=0, help="pairs of real steps; 0 for none")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(f"{options.encoder}, batch 1, Adam, MS-SSIM")
    columns = ("px", "peak", "forward end", "operations", "moved", "time / plain")
    run = PlannedRun([f"--model.encoder={options.encoder}"])
    with harness.table("techniques", *columns, names=list(KINDS)) as row:
        for side in options.sizes:
            for name, flags in KINDS.items():
                this = run.with_flags(flags)
                plan = this.plan((side, side))
                ratio = ""
                if options.repeats:
                    batch = run.batch((side, side))
                    steps = (functools.partial(one.step(), batch) for one in (run, this))
                    found = harness.paired(*steps, options.repeats, processor_time)
                    ratio = f"{found.median:.2f} ({found.lowest:.2f} to {found.highest:.2f})"
                sizes = (f"{num / MIB:.0f}" for num in (plan.peak_bytes, plan.forward_end))
                work = f"{plan.work.operations / 1e12:.2f}", f"{plan.work.moved_bytes / 1e9:.1f}"
                row(name, side, *sizes, *work, ratio)


if __name__ == "__main__":
    main(parser().parse_args())
