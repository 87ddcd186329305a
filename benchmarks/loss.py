"""Claim: the loss costs little of a step, in memory, in bytes moved, in operators and in time.

    python benchmarks/loss.py
    python benchmarks/loss.py --before ../main

Counts the loss and its gradient on fake tensors, as a GPU runs them: maps of the image's size
beside output and target, bytes that operators read and write, and operators that are more than
another view of a tensor. Then times it on this machine, in turns with the loss of another checkout
where one is named, and as a share of a step of the whole network. The first command takes about a
minute on two cores.
"""

import argparse
import functools
import importlib
import statistics
import sys
from collections.abc import Callable

import harness
import torch
from torch import Tensor

from radenhance.compat.torch import FakeTensorMode
from radenhance.loss.streamed import streamed_loss
from radenhance.memory.footprint import Footprint
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.traffic import Traffic

Loss = Callable[..., Tensor]
SHARES = (0.0, 0.16)


def losses(before: str | None) -> dict[str, Loss]:
    """Return name -> loss: this one, and that of another checkout."""
    if before is None:
        return {"now": streamed_loss}
    ours = {name: sys.modules.pop(name) for name in [*sys.modules] if name.startswith("radenhance")}
    sys.path.insert(0, before)
    theirs = importlib.import_module("radenhance.loss.streamed").streamed_loss
    sys.path.pop(0)
    sys.modules.update(ours)
    return {"before": theirs, "now": streamed_loss}


def forth_and_back(loss: Loss, enhanced: Tensor, target: Tensor, share: float) -> None:
    loss(enhanced, target, l1_share=share).backward()


def images(size: int) -> tuple[Tensor, Tensor]:
    target = torch.rand(1, 1, size, size)
    return (0.7 * target + 0.3 * torch.rand_like(target)).requires_grad_(), target


def count(loss: Loss, size: int, share: float) -> tuple[float, float, int]:
    """Return maps beside output and target, bytes moved, and operators."""
    with FakeTensorMode():
        enhanced, target = images(size)
        with Footprint() as footprint, Traffic() as traffic:
            forth_and_back(loss, enhanced, target, share)
    maps = footprint.peak_bytes / target.nbytes - 2
    return maps, traffic.moved_bytes, traffic.operators


def print_counts(compared: dict[str, Loss], sizes: list[int]) -> None:
    columns = ("loss", "size", "share of L1", "maps", "GB moved", "operators")
    with harness.table(*columns, names=compared) as row:
        for size in sizes:
            for share in SHARES:
                for name, loss in compared.items():
                    maps, moved, operators = count(loss, size, share)
                    row(name, size, share, f"{maps:.2f}", f"{moved / 1e9:.2f}", operators)


def print_times(compared: dict[str, Loss], sizes: list[int], repeats: int) -> None:
    columns = ("size", "share of L1", "ms", "/ before", "lowest", "highest", "of a step, %")
    run = PlannedRun(["--model.encoder=resnet34"])
    with harness.table(*columns) as row:
        for size in sizes:
            step = functools.partial(run.step(), run.batch((size, size)))
            step()
            whole = statistics.median(harness.seconds(step) for _ in range(3))
            for share in SHARES:
                calls = {
                    name: functools.partial(forth_and_back, loss, *images(size), share)
                    for name, loss in compared.items()
                }
                before, now = calls.get("before", calls["now"]), calls["now"]
                ratio = harness.paired(before, now, repeats)
                took = statistics.median(harness.seconds(now) for _ in range(repeats))
                ratios = (ratio.median, ratio.lowest, ratio.highest)
                shown = [f"{one:.2f}" if "before" in calls else "" for one in ratios]
                row(size, share, f"{1e3 * took:.0f}", *shown, f"{100 * took / whole:.1f}")


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument(
        "--sizes", type=harness.listed_numbers, default="1024,4096", help="sizes to count at"
    )
    flags.add_argument(
        "--timed", type=harness.listed_numbers, default="512,1024", help="sizes to time at"
    )
    flags.add_argument("--before", help="folder of another checkout to compare with")
    flags.add_argument("--repeats", type=int, default=9, help="pairs of losses at each size")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(f"batch 1, float32, {torch.get_num_threads()} threads")
    compared = losses(options.before)
    print_counts(compared, options.sizes)
    print_times(compared, options.timed, options.repeats)


if __name__ == "__main__":
    main(parser().parse_args())
