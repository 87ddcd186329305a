"""Claim: two devices share the time of a step and its memory, and give the same result to the bit.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --size 0 --sizes 512,1024,2048
    python benchmarks/pipeline.py --size 0 --sizes 2048 --cut auto
    sudo python benchmarks/pipeline.py --size 0 --sizes '' --gbit 1,10

Time and bytes: real fits on this machine's processor, a thread for each process. One device
accumulates over as many batches of one as the two have micro-batches; the fastest step of each
counts. Two of equal halves do n micro-batches in (n + 1) / 2n of the time; of halves that take t
and 1 - t of it in (n max(t, 1 - t) + min(t, 1 - t)) / n. Bytes are those of the loopback interface.

Memory: tensors of a training step with Adam, planned. A batch of four is four micro-batches under
1F1B, against one device that accumulates over four. With `--cut auto` each row is cut where the
larger stage is smallest. `--size 0` leaves out the times, `--sizes ''` the memory. The first
command takes about six minutes on two cores.

Network: two processes in network namespaces of their own, as root of Linux, with a cable between
them that tc lets pass so many bits a second; one micro-batch a step, so that nothing overlaps. The
time that is expected is that without a limit and bytes over bandwidth, as `radenhance plan` says.
"""

import argparse
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from radenhance.flags.recipes import recipes
from radenhance.planning.pipeline import plan_pipeline, strategy_of
from radenhance.planning.planned_run import PlannedRun
from radenhance.strategies import EncoderDecoderStrategy
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import FIRST_DECODER_STAGE
from radenhance.strategies.protocol import ignore_phase
from radenhance.strategies.secret import SECRET
from radenhance.units import MIB

LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")
CABLE = "cable"
HOSTS = ("radenhance-benchmark-0", "radenhance-benchmark-1")
ADDRESSES = ("10.78.0.1", "10.78.0.2")
SENDING = {
    "as it is": {},
    "stem_on_both": {"stem_on_both": True},
    "bfloat16_transfer": {"bfloat16_transfer": True},
    "both": {"stem_on_both": True, "bfloat16_transfer": True},
}


class Clock(Callback):
    """Notes time and bytes sent after each optimizer step."""

    def __init__(self) -> None:
        self.noted: list[tuple[float, int]] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Note them after the last of the batches that accumulate."""
        if trainer.global_step > len(self.noted):
            self.noted.append((time.perf_counter(), int(LOOPBACK.read_text())))


def best_step(encoder: str, size: int, steps: int, num: int, alone: bool) -> tuple[float, float]:
    """Train on `num` micro-batches a step; return the lowest seconds and bytes of a step."""
    clock = Clock()
    settings: dict[str, Any] = {"accumulate_grad_batches": num}
    if not alone:
        settings = {"batch_size": num, "strategy": EncoderDecoderStrategy(), "num_nodes": 2}
    harness.train_on_noise(clock, encoder=encoder, size=size, num_images=num * steps, **settings)
    seconds, sent = zip(*clock.noted, strict=True)
    return lowest_rise(seconds), lowest_rise(sent)


def lowest_rise(values: tuple[float, ...]) -> float:
    return min(after - before for before, after in zip(values, values[1:], strict=False))


def encoder_share_and_bytes(encoder: str, size: int, steps: int) -> tuple[float, int]:
    """Return the encoder's part of a step's time, and the bytes that a micro-batch sends."""
    torch.set_num_threads(1)
    run = PlannedRun([f"--model.encoder={encoder}", "--model.num_scales=auto"])
    step, batch = run.step(), run.batch((size, size))
    split = NetworkSplit(step.module)

    def encode() -> None:
        sent = [tensor for tensor in split.encode(batch["raw"]) if tensor.requires_grad]
        torch.autograd.backward(sent, [torch.zeros_like(tensor) for tensor in sent])

    def whole() -> None:
        step.pass_forth_and_back(batch, ignore_phase)

    share = harness.best(encode, steps) / harness.best(whole, steps)
    forward = split.encode(batch["raw"])
    features = sum(tensor.nbytes for tensor in forward)
    gradients = sum(tensor.nbytes for tensor in forward if tensor.requires_grad)
    # raw, target and output, from the decoder
    return share, features + gradients + 3 * batch["raw"].nbytes


def print_times(encoder: str, size: int, steps: int) -> None:
    share, num_bytes = encoder_share_and_bytes(encoder, size, steps)
    print(f"{encoder}, {size} px; the encoder takes {share:.0%} of a step's time\n")
    columns = ("one, s", "two, s", "one / two", "2n/(n+1)", "bound of this cut")
    columns += ("reached of 2n/(n+1)", "sent, MB", "theory, MB")
    with harness.table("micro-batches", *columns) as row:
        for num in (4, 8):
            task = (best_step, encoder, size, steps, num)
            ((one, _),) = harness.in_processes(*task, True)
            (two, sent), _ = harness.in_processes(*task, False, num=2)
            equal = 2 * num / (num + 1)
            bound = num / (num * max(share, 1 - share) + min(share, 1 - share))
            figures = [f"{value:.2f}" for value in (one, two, one / two, equal, bound)]
            theory = num * num_bytes
            row(
                num,
                *figures,
                f"{one / two / equal:.0%}",
                f"{sent / 1e6:.1f}",
                f"{theory / 1e6:.1f}",
            )


def linked_step(encoder: str, size: int, steps: int, sending: str) -> float:
    """Train as one of two hosts; return the lowest seconds of a step."""
    enter_host()
    clock = Clock()
    strategy = EncoderDecoderStrategy(**SENDING[sending])
    options = {"strategy": strategy, "num_nodes": 2}
    harness.train_on_noise(clock, encoder=encoder, size=size, num_images=steps, **options)
    return lowest_rise(tuple(seconds for seconds, _ in clock.noted))


def enter_host() -> None:
    """Let this process be on the host of its rank."""
    rank = int(os.environ["NODE_RANK"])
    with Path("/run/netns", HOSTS[rank]).open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
    os.environ |= {"MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": "29500", SECRET: "of this benchmark"}


@contextmanager
def two_hosts() -> Iterator[None]:
    """Make two network namespaces with a cable between them."""
    try:
        for name in HOSTS:
            ip("netns", "add", name)
        peer = ("peer", "name", CABLE, "netns", HOSTS[1])
        ip("-n", HOSTS[0], "link", "add", CABLE, "type", "veth", *peer)
        for name, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", CABLE)
            for interface in ("lo", CABLE):
                ip("-n", name, "link", "set", interface, "up")
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def limit(gbit: int) -> None:
    """Let the cable pass so many bits a second, each way."""
    rate = ("rate", f"{gbit}gbit", "burst", "4mb", "latency", "100ms")
    for name in HOSTS:
        where = ("dev", CABLE, "root", "tbf")
        subprocess.run(["tc", "-n", name, "qdisc", "replace", *where, *rate], check=True)


def planned_bytes(encoder: str, size: int, sending: str) -> int:
    """Return the bytes that a plan counts for a step of one image."""
    run = PlannedRun([f"--model.encoder={encoder}", "--model.num_scales=auto"])
    return plan_pipeline(run, EncoderDecoderStrategy(**SENDING[sending]), (size, size)).sent_bytes


def print_links(encoder: str, size: int, steps: int, speeds: list[int]) -> None:
    print(f"{encoder}, {size} px, one micro-batch a step\n")
    columns = (
        "Gbit/s",
        "planned, MB",
        "unlimited, s",
        "limited, s",
        "expected, s",
        "limited / expected",
    )
    with two_hosts(), harness.table("sending", *columns, names=SENDING) as row:
        for sending in SENDING:
            task = (linked_step, encoder, size, steps, sending)
            num_bytes = planned_bytes(encoder, size, sending)
            free = max(harness.in_processes(*task, num=2))
            for gbit in speeds:
                limit(gbit)
                taken = max(harness.in_processes(*task, num=2))
                expected = free + num_bytes * 8 / (gbit * 1e9)
                figures = (f"{value:.3f}" for value in (free, taken, expected))
                row(sending, gbit, f"{num_bytes / 1e6:.1f}", *figures, f"{taken / expected:.2f}")
            for name in HOSTS:
                remove = ["qdisc", "delete", "dev", CABLE, "root"]
                subprocess.run(["tc", "-n", name, *remove], check=True)


def peaks(recipe: str, size: int, batch_size: int, cut: str) -> tuple[str, list[float]]:
    """Return the cut, and the planned peaks of one device, the encoder's and the decoder's."""
    run = PlannedRun(["--config", str(recipes()[recipe]), f"--data.batch_size={batch_size}"])
    alone = {"trainer.strategy": "auto", "trainer.num_nodes": 1, "data.batch_size": 1}
    one = run.with_flags(alone | {"trainer.accumulate_grad_batches": batch_size}).plan((size, size))
    strategy = strategy_of(run)
    assert strategy is not None
    two = plan_pipeline(run, strategy.cut_before(cut), (size, size))
    stages = (two.stages["encoder"], two.stages["decoder"])
    return two.cut, [one.peak_bytes, *(stage.peak_bytes for stage in stages)]


def print_peaks(sizes: list[int], cut: str) -> None:
    names = sorted(name for name in recipes() if name.startswith("dist"))
    columns = ("px", "batch", "cut     ", "one, MiB", "encoder, MiB", "decoder, MiB")
    columns += ("larger / one", "larger / dist's one")
    with harness.table("recipe", *columns, names=names) as row:
        for size in sizes:
            for batch_size in (1, 4):
                reference = 0.0
                for name in names:
                    where, found = peaks(name, size, batch_size, cut)
                    one, larger = found[0], max(found[1:])
                    reference = reference or one  # dist.yaml comes first
                    shares = (f"{larger / one:.2f}", f"{larger / reference:.2f}")
                    cells = [f"{value / MIB:.0f}" for value in found]
                    row(name.removesuffix(".yaml"), size, batch_size, where, *cells, *shares)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--size", type=int, default=256, help="side of timed images; 0 for none")
    flags.add_argument("--encoder", default="resnet34", help="encoder of the timed network")
    flags.add_argument("--steps", type=int, default=6, help="timed steps")
    flags.add_argument("--sizes", type=harness.listed_numbers, default="512",
                       help="sides of planned images; '' for none")  # fmt: skip
    flags.add_argument("--gbit", type=harness.listed_numbers, default="",
                       help="bandwidths of a cable between two hosts; '' for none")  # fmt: skip
    flags.add_argument("--link-size", type=int, default=256, help="side of images sent over it")
    flags.add_argument("--cut", default=FIRST_DECODER_STAGE, help="first decoder stage, or auto")
    return flags


def main(options: argparse.Namespace) -> None:
    # two processes of more threads than cores would wait for each other's
    os.environ |= harness.ONE_THREAD
    harness.print_heading()
    if options.size:
        print_times(options.encoder, options.size, options.steps)
    if options.gbit:
        print_links(options.encoder, options.link_size, options.steps, options.gbit)
    if options.sizes:
        print_peaks(options.sizes, options.cut)


if __name__ == "__main__":
    main(parser().parse_args())
