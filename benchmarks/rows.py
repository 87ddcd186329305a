"""Claim: processes that divide an image by rows divide the time of a step and its memory.

    python benchmarks/rows.py
    python benchmarks/rows.py --size 1024 --steps 3
    python benchmarks/rows.py --size 0 --sizes 2048,4096,8192 --numbers 2,4,8 --bands
    sudo python benchmarks/rows.py --size 0 --sizes '' --gbit 1

Time and bytes: real fits on images of noise on this machine's processor, a thread for each process,
batches of one; the fastest step of each counts. Bytes are those of the loopback interface, beside
those that the plan counts: of two processes, each sends what it says. Where other work runs on the
machine, its waiting is in the seconds; the processor's own time, of one process and of the busiest
of several, is not disturbed by it, and leaves out what waiting for each other takes. Memory:
tensors of a training step with Adam, planned. `--size 0` leaves out the times, `--sizes ''` the
memory. `--gbit` times two processes in two network namespaces with a cable of so many bits a
second between them, which takes root. The first command takes some minutes on two cores.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import harness
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from pipeline import enter_host, limit, two_hosts

from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.step_plan import StepPlan
from radenhance.units import MIB

LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")


class Clock(Callback):
    """Notes time and bytes sent after each step."""

    def __init__(self) -> None:
        self.noted: list[tuple[float, float, float]] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Note them."""
        sent = int(LOOPBACK.read_text())
        self.noted.append((time.perf_counter(), time.process_time(), sent))


def best_step(encoder: str, size: int, steps: int, num: int) -> list[float]:
    """Train; return the lowest seconds, processor seconds and bytes of a step of one process."""
    torch.manual_seed(0)  # the processes of an image see the same noise
    clock = Clock()
    settings: dict[str, Any] = {"strategy": "rows", "num_nodes": num} if num > 1 else {}
    harness.train_on_noise(clock, encoder=encoder, size=size, num_images=steps + 2, **settings)
    pairs = list(zip(clock.noted, clock.noted[1:], strict=False))
    return [min(after[i] - before[i] for before, after in pairs) for i in range(3)]


def linked_step(encoder: str, size: int, steps: int) -> float:
    """Train as one of two hosts; return the lowest seconds of a step."""
    enter_host()
    return best_step(encoder, size, steps, 2)[0]


def print_links(encoder: str, size: int, steps: int, speeds: list[int]) -> None:
    columns = ("Gbit/s", "unlimited, s", "limited, s", "bytes at that speed, s")
    task = (linked_step, encoder, size, steps)
    with two_hosts(), harness.table("px", *columns) as row:
        free = max(harness.in_processes(*task, num=2))
        wire = plan(encoder, size, 2).wire
        assert wire is not None
        for gbit in speeds:
            limit(gbit)
            taken = max(harness.in_processes(*task, num=2))
            sent = wire.sent_bytes * 8 / (gbit * 1e9)
            row(size, gbit, *(f"{value:.2f}" for value in (free, taken, sent)))


def plan(encoder: str, size: int, num: int, *, in_bands: bool = False) -> StepPlan:
    """Return the plan of a process of `num`."""
    flags = [f"--model.encoder={encoder}", "--data.batch_size=1", "--model.num_scales=auto"]
    if num > 1:
        flags += ["--trainer.strategy=rows", f"--trainer.devices={num}"]
    if in_bands:
        flags += ["--model.memory.band_rows=auto", "--model.memory.checkpointing=unit"]
    return PlannedRun(flags).plan((size, size))


def print_times(encoder: str, size: int, steps: int, num: int) -> None:
    ((one, busy_one, _),) = harness.in_processes(best_step, encoder, size, steps, 1)
    found = harness.in_processes(best_step, encoder, size, steps, num, num=num)
    several, sent = found[0][0], found[0][2]
    busy = max(seconds for _, seconds, _ in found)
    wire = plan(encoder, size, num).wire
    assert wire is not None
    columns = ("one, s", f"{num}, s", "times as fast")
    columns += ("processor, one, s", f"processor, {num}, s", "one / busiest")
    columns += ("sent, MB", "planned, MB", "messages")
    with harness.table("px", *columns) as row:
        row(
            size,
            *(f"{value:.2f}" for value in (one, several, one / several)),
            *(f"{value:.2f}" for value in (busy_one, busy, busy_one / busy)),
            *(f"{value / 1e6:.1f}" for value in (sent, num * wire.sent_bytes)),
            wire.num_messages,
        )


def print_peaks(encoder: str, sizes: list[int], numbers: list[int], in_bands: bool) -> None:
    columns = ("processes", "peak, MiB", "share of one", "needed, MiB", "sent, MiB", "messages")
    with harness.table("px", *columns) as row:
        for size in sizes:
            one = plan(encoder, size, 1, in_bands=in_bands)
            row(size, 1, f"{one.peak_bytes / MIB:.0f}", "1", f"{one.needed_bytes / MIB:.0f}", 0, 0)
            for num in numbers:
                of = plan(encoder, size, num, in_bands=in_bands)
                assert of.wire is not None
                row(
                    size,
                    num,
                    f"{of.peak_bytes / MIB:.0f}",
                    f"{of.peak_bytes / one.peak_bytes:.3f}",
                    f"{of.needed_bytes / MIB:.0f}",
                    f"{of.wire.sent_bytes / MIB:.0f}",
                    of.wire.num_messages,
                )


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--size", type=int, default=512, help="side of timed images; 0 for none")
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    flags.add_argument("--steps", type=int, default=4, help="timed steps")
    flags.add_argument("--num", type=int, default=2, help="timed processes")
    flags.add_argument("--sizes", type=harness.listed_numbers, default="1024",
                       help="sides of planned images; '' for none")  # fmt: skip
    flags.add_argument("--numbers", type=harness.listed_numbers, default="2",
                       help="planned numbers of processes")  # fmt: skip
    flags.add_argument("--gbit", type=harness.listed_numbers, default="",
                       help="bandwidths of a cable between two hosts; '' for none")  # fmt: skip
    flags.add_argument("--link-size", type=int, default=512, help="side of images over it")
    flags.add_argument("--bands", action="store_true",
                       help="plan with bands, and checkpointing by units")  # fmt: skip
    return flags


def main(options: argparse.Namespace) -> None:
    # two processes of more threads than cores would wait for each other's
    os.environ |= harness.ONE_THREAD
    harness.print_heading()
    if options.size:
        print_times(options.encoder, options.size, options.steps, options.num)
    if options.gbit:
        print_links(options.encoder, options.link_size, options.steps, options.gbit)
    if options.sizes:
        print_peaks(options.encoder, options.sizes, options.numbers, options.bands)


if __name__ == "__main__":
    main(parser().parse_args())
