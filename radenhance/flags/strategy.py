"""Which strategy is meant by `--trainer.strategy`, and by its absence."""

import torch
from jsonargparse import Namespace

from radenhance.strategies import EncoderDecoderStrategy, RowsStrategy
from radenhance.strategies.sharded import FULLY_SHARDED

LIGHTNINGS_DDP = "lightning.pytorch.strategies.DDPStrategy"
DDP = "radenhance.strategies.ReplicatedStrategy"
"""What stands in for it: the same, but for what its processes say to whom."""

OTHER_NAMES = {
    "fsdp": FULLY_SHARDED,  # Lightning's needs a GPU, and writes other checkpoints
    # a path without further flags stays a word, which Lightning would not know
    "radenhance.strategies.EncoderDecoderStrategy": EncoderDecoderStrategy.strategy_name,
    "radenhance.strategies.FullyShardedStrategy": FULLY_SHARDED,
    "radenhance.strategies.RowsStrategy": RowsStrategy.strategy_name,
    DDP: "ddp",
    LIGHTNINGS_DDP: "ddp",
}
"""What is meant by other names of a strategy."""


def choose_strategy(trainer: Namespace) -> None:
    """Replace other names by the registered one; two nodes of one device share the network.

    Args:
        trainer: The settings of the trainer, changed in place.
    """
    if isinstance(trainer.strategy, str):
        trainer.strategy = OTHER_NAMES.get(trainer.strategy, trainer.strategy)
    elif getattr(trainer.strategy, "class_path", None) == LIGHTNINGS_DDP:
        trainer.strategy.class_path = DDP
    if trainer.strategy == "auto" and trainer.num_nodes == 2 and _has_one_device(trainer):
        trainer.strategy = EncoderDecoderStrategy.strategy_name


def _has_one_device(trainer: Namespace) -> bool:
    if trainer.devices != "auto":
        return trainer.devices in (1, "1") or (
            isinstance(trainer.devices, list) and len(trainer.devices) == 1
        )
    return trainer.accelerator == "cpu" or torch.cuda.device_count() <= 1
