"""Encoder and decoder in two processes against one: time, bytes sent, and memory.

    python benchmarks/pipeline.py [--size 256] [--encoder resnet34] [--steps 6] \
      [--sizes 512,1024,2048] [--cut decoder0]

Time and bytes: real fits on this machine's CPU, a thread for each process. One device accumulates
over as many batches of one as the two have micro-batches, which is the same work to the bit; the
fastest step of each counts, so that what else the machine does falls out. Two of equal halves do n
micro-batches in (n + 1) / 2n of the time; of halves that take t and 1 - t of it in
(n max(t, 1 - t) + min(t, 1 - t)) / n. Bytes are those of the loopback interface.

Memory: tensors of one training step with Adam, of fake tensors, for the recipes of two devices. A
batch of four is four micro-batches under 1F1B, against one device that accumulates over four. With
`--cut auto` each row has the cut with which the larger stage is smallest.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from radenhance.enhancer import ContrastEnhancer
from radenhance.flags.recipes import recipes
from radenhance.loss.streamed_ms_ssim import streamed_ms_ssim_loss
from radenhance.planning.pipeline import plan_pipeline, strategy_of
from radenhance.planning.planned_run import PlannedRun
from radenhance.strategies import EncoderDecoderStrategy
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import FIRST_DECODER_STAGE
from radenhance.strategies.encoder_decoder.schedule import skip_specs
from radenhance.strategies.encoder_decoder.skips import SkipSpec

MIB = 2**20
LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")


class Clock(Callback):
    """Notes time and bytes sent after each optimizer step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.sent: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Note them after the last of the batches that accumulate."""
        if trainer.global_step > len(self.seconds):
            self.seconds.append(time.perf_counter())
            self.sent.append(int(LOOPBACK.read_text()))


def fit(options: argparse.Namespace, num: int, *, alone: bool) -> dict[str, float]:
    """Return seconds and bytes of the best optimizer step over `num` images."""
    torch.set_num_threads(1)
    clock = Clock()
    strategy = {} if alone else {"strategy": EncoderDecoderStrategy(), "num_nodes": 2}
    images = [
        {name: torch.rand(1, options.size, options.size) for name in ("raw", "target")}
        | {"case": str(i)}
        for i in range(num * options.steps)
    ]
    Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        accumulate_grad_batches=num if alone else 1,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **strategy,
    ).fit(
        ContrastEnhancer(options.encoder, num_scales="auto"),
        torch.utils.data.DataLoader(images, 1 if alone else num),
    )
    pairs = zip(clock.seconds, clock.seconds[1:], strict=False)
    sent = zip(clock.sent, clock.sent[1:], strict=False)
    return {"s": min(b - a for a, b in pairs), "sent": min(b - a for a, b in sent)}


def fit_in_processes(options: argparse.Namespace, num: int, *, alone: bool) -> dict[str, float]:
    """Run `fit` in a process of its own, or in two."""
    flags = [f"--{name}={getattr(options, name)}" for name in ("size", "encoder", "steps")]
    task = {"num": num, "alone": alone}
    measured: dict[str, float] = in_processes(__file__, flags, task, 1 if alone else 2)[0]
    return measured


def in_processes(script: str, flags: list[str], task: dict[str, Any], num: int) -> list[Any]:
    """Run a script with `--task` as nodes do, a thread each; return what each wrote as its result.

    Args:
        script: It gets the task as JSON, with `result`, a path, in it.
        flags: Further ones.
        task: What to do.
        num: Of processes.
    """
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        results = [Path(folder) / f"{rank}.json" for rank in range(num)]
        started = []
        for rank, result in enumerate(results):
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(rank)}
            told = json.dumps({**task, "result": str(result)})
            command = [sys.executable, script, *flags, "--task", told]
            environment = {**os.environ, **where, "OMP_NUM_THREADS": "1"}
            started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        codes = [process.wait() for process in started]
        if any(codes):
            raise SystemExit(f"a process failed: {' '.join(command)}")
        return [json.loads(result.read_text()) for result in results]


def share_of_encoder(options: argparse.Namespace) -> float:
    """Return the part of a training step's time that the encoder takes, on one thread."""
    torch.set_num_threads(1)
    split = NetworkSplit(ContrastEnhancer(options.encoder))
    image = torch.rand(1, 1, options.size, options.size)
    encoder, decoder = float("inf"), float("inf")
    for _ in range(options.steps):
        started = time.perf_counter()
        sent = split.encode(image)
        torch.autograd.backward(sent, [torch.zeros_like(tensor) for tensor in sent])
        middle = time.perf_counter()
        received = [tensor.detach().requires_grad_() for tensor in sent]
        streamed_ms_ssim_loss(split.decode(received), image, num_scales="auto").backward()
        encoder = min(encoder, middle - started)
        decoder = min(decoder, time.perf_counter() - middle)
    return encoder / (encoder + decoder)


@contextmanager
def table(*columns: str) -> Iterator[Callable[..., None]]:
    def row(*cells: object) -> None:
        print(f"| {' | '.join(map(str, cells))} |", flush=True)

    row(*columns)
    row(*["---:"] * len(columns))
    yield row
    print()


def print_times(options: argparse.Namespace) -> None:
    share = share_of_encoder(options)
    larger = max(share, 1 - share)
    print(
        f"{options.encoder}, {options.size} px, one thread a process; the encoder takes "
        f"{share:.0%} of a step's time\n"
    )
    module = ContrastEnhancer(options.encoder)
    image = torch.rand(1, 1, options.size, options.size)
    skips = SkipSpec(skip_specs(NetworkSplit(module), image, trains=True))
    columns = ("one / two", "2n/(n+1)", "bound of this cut", "reached of 2n/(n+1)")
    with table("micro-batches", "one, s", "two, s", *columns, "sent, MB", "theory, MB") as row:
        for num in (4, 8):
            one, two = (fit_in_processes(options, num, alone=alone) for alone in (True, False))
            faster = one["s"] / two["s"]
            equal = 2 * num / (num + 1)
            bound = num / (num * larger + 1 - larger)
            batch = 2 * image.nbytes  # raw and target, handed over by the decoder
            theory = num * (skips.num_bytes + skips.num_gradient_bytes + batch) / 1e6
            row(
                num,
                f"{one['s']:.2f}",
                f"{two['s']:.2f}",
                f"{faster:.2f}",
                f"{equal:.2f}",
                f"{bound:.2f}",
                f"{faster / equal:.0%}",
                f"{two['sent'] / 1e6:.1f}",
                f"{theory:.1f}",
            )


def print_peaks(options: argparse.Namespace) -> None:
    reference = {}
    columns = ("one, MiB", "encoder, MiB", "decoder, MiB", "larger / one", "larger / dist's one")
    with table("size", "batch", "recipe", "cut", *columns) as row:
        for size in map(int, options.sizes.split(",")):
            for num in (1, 4):
                for recipe in sorted(name for name in recipes() if name.startswith("dist")):
                    flags = ["--config", str(recipes()[recipe]), f"--data.batch_size={num}"]
                    run = PlannedRun(flags)
                    strategy = strategy_of(run)
                    assert strategy is not None
                    alone = {"data.batch_size": 1, "trainer.accumulate_grad_batches": num}
                    one = run.with_flags(alone).plan((size, size)).peak_bytes
                    plan = plan_pipeline(run, strategy.cut_before(options.cut), (size, size))
                    found = [one, *(stage.peak_bytes for stage in plan.stages.values())]
                    reference.setdefault((size, num), one)  # dist.yaml comes first
                    row(
                        size,
                        num,
                        recipe.removesuffix(".yaml"),
                        plan.cut,
                        *(f"{value / MIB:.0f}" for value in found),
                        f"{plan.peak_bytes / one:.2f}",
                        f"{plan.peak_bytes / reference[size, num]:.2f}",
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sizes", default="512,1024,2048")
    parser.add_argument("--cut", default=FIRST_DECODER_STAGE, help="a stage, or auto")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task = json.loads(options.task)
        measured = fit(options, task["num"], alone=task["alone"])
        Path(task["result"]).write_text(json.dumps(measured))
        return
    print(f"torch {torch.__version__}\n")
    if options.size:
        print_times(options)
    if options.sizes:
        print_peaks(options)


if __name__ == "__main__":
    main()
