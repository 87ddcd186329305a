"""What each process keeps of weights, gradients and moments, with and without sharing them out.

    python benchmarks/sharding.py [--encoder resnet34]

One step with Adam at 64 px, in four processes on this machine's CPU as two pairs of encoder and
decoder, and in two as data parallel. Counted are bytes of the tensors of the part that runs in a
process: gradients before the optimizer's step, weights and moments after it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from pipeline import MIB, in_processes, table
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from radenhance.enhancer import ContrastEnhancer
from radenhance.strategies import EncoderDecoderStrategy

KINDS = {"weights": "weights", "gradients": "gradients", "moments": "moments of Adam"}
PLACEMENTS = {"pairs": 4, "sharded pairs": 4, "ddp": 2, "fully_sharded": 2}
"""And how many processes."""


class Kept(Callback):
    """Counts bytes in a step."""

    def __init__(self) -> None:
        self.num_bytes: dict[str, Any] = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Count gradients."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        self.num_bytes["gradients"] = sum(map(bytes_here, gradients))

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Count weights that have moments, which are those that run here, and moments."""
        state = trainer.optimizers[0].state
        moments = [v for values in state.values() for v in values.values() if v.ndim]
        self.num_bytes["weights"] = sum(map(bytes_here, state))
        self.num_bytes["moments"] = sum(map(bytes_here, moments))
        self.num_bytes["stage"] = getattr(trainer.strategy, "stage_name", "whole")


def bytes_here(tensor: Tensor) -> int:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def step(encoder: str, placement: str, num: int) -> dict[str, Any]:
    """Train a step in one of `num` processes; return what it kept."""
    torch.set_num_threads(1)
    kept = Kept()
    images = [
        {name: torch.rand(1, 64, 64) for name in ("raw", "target")} | {"case": str(i)}
        for i in range(num)
    ]
    sharded = placement == "sharded pairs"
    pairs = EncoderDecoderStrategy(sharded=sharded) if "pairs" in placement else placement
    Trainer(
        accelerator="cpu",
        devices=1,
        num_nodes=num,
        strategy=pairs,
        max_steps=1,
        callbacks=[kept],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(ContrastEnhancer(encoder, num_scales="auto"), torch.utils.data.DataLoader(images, 1))
    return kept.num_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task = json.loads(options.task)
        kept = step(options.encoder, task["placement"], task["num"])
        Path(task["result"]).write_text(json.dumps(kept))
        return
    print(f"torch {torch.__version__}, {options.encoder}, MiB of each process\n")
    with table("placement", "process", *KINDS.values(), "sum") as row:
        for placement, num in (
            ("pairs", 4),
            ("sharded pairs", 4),
            ("ddp", 2),
            ("fully_sharded", 2),
        ):
            task = {"placement": placement, "num": num}
            flags = [f"--encoder={options.encoder}"]
            for rank, kept in enumerate(in_processes(__file__, flags, task, num)):
                found = [kept[kind] / MIB for kind in KINDS]
                cells = [f"{value:.1f}" for value in (*found, sum(found))]
                row(placement, f"{rank}, {kept['stage']}", *cells)


if __name__ == "__main__":
    main()
