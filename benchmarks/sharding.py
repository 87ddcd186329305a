"""Claim: sharding divides weights, gradients and moments by the number of replicas.

    python benchmarks/sharding.py

Trains a step with Adam at 64 px on this machine's processor: in four processes as two pairs of
encoder and decoder, and in two as data parallel, whole and sharded. Counts the bytes of the tensors
of the part that runs in each process: gradients before the optimizer's step, weights and moments
after it. Takes about a minute on two cores.
"""

import argparse
from typing import Any

import harness
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from radenhance.strategies import EncoderDecoderStrategy
from radenhance.units import MIB

NUM_PROCESSES = {"pairs": 4, "sharded pairs": 4, "ddp": 2, "fully_sharded": 2}
"""Placement -> number of processes."""


class TensorBytes(Callback):
    """Counts what a process keeps in a step."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.stage = ""

    def on_before_optimizer_step(
        self, trainer: Trainer, module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Count gradients."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        self.counted["gradients"] = sum(map(local_bytes, gradients))

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Count weights that have moments, which are those that run here, and moments."""
        state = trainer.optimizers[0].state
        moments = [value for values in state.values() for value in values.values() if value.ndim]
        self.counted["weights"] = sum(map(local_bytes, state))
        self.counted["moments of Adam"] = sum(map(local_bytes, moments))
        self.stage = getattr(trainer.strategy, "stage_name", "whole")


def local_bytes(tensor: Tensor) -> int:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def train(encoder: str, placement: str) -> tuple[str, dict[str, int]]:
    """Train a step as one of the processes; return its stage and what it keeps."""
    num = NUM_PROCESSES[placement]
    strategy: Any = placement
    if "pairs" in placement:
        strategy = EncoderDecoderStrategy(sharded=placement == "sharded pairs")
    counter = TensorBytes()
    harness.train_on_noise(
        counter,
        encoder=encoder,
        size=64,
        num_images=num,
        strategy=strategy,
        num_nodes=num,
        max_steps=1,
    )
    return counter.stage, counter.counted


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--encoder", default="resnet34", help="encoder of the network")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(f"{options.encoder}, MiB of each process")
    kinds = ("weights", "gradients", "moments of Adam")
    with harness.table("placement", "process   ", *kinds, "sum", names=NUM_PROCESSES) as row:
        for placement, num in NUM_PROCESSES.items():
            found = harness.in_processes(train, options.encoder, placement, num=num)
            for rank, (stage, counted) in enumerate(found):
                figures = [counted[kind] / MIB for kind in kinds]
                cells = [f"{figure:.1f}" for figure in (*figures, sum(figures))]
                row(placement, f"{rank}, {stage}", *cells)


if __name__ == "__main__":
    main(parser().parse_args())
