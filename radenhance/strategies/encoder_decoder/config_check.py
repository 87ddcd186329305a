"""Whether all processes were started alike, found out before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from radenhance import __version__
from radenhance.compat.lightning import callbacks_of
from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.strategies.encoder_decoder.options import PipelineOptions


def refuse_unsupported(trainer: Trainer, module: LightningModule) -> None:
    """Refuse what would train wrongly with a network on two devices.

    Raises:
        UsageError: The message names it, and what to use instead.
    """
    fits = trainer.state.fn == "fit"
    if fits and not module.automatic_optimization:
        raise UsageError(
            f"{type(module).__name__}.automatic_optimization is False, expected True: the strategy "
            f"encoder_decoder runs the backward pass itself"
        )
    averaging = (StochasticWeightAveraging, WeightAveraging)
    for callback in callbacks_of(trainer):
        if fits and isinstance(callback, averaging):
            raise UsageError(
                f"the strategy encoder_decoder cannot run {type(callback).__name__}, which would "
                f"average the weights of one device only; use WeightAverage.kind"
            )


def settings_of(
    options: PipelineOptions,
    techniques: MemoryTechniques,
    trainer: Trainer,
    module: LightningModule,
) -> dict[str, str]:
    """Return by name what all processes of a run must have in common."""
    weights = module.state_dict()
    settings: dict[str, Any] = {
        "radenhance": __version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "command": trainer.state.fn,
        "LightningModule": type(module).__name__,
        "number of weights": sum(tensor.numel() for tensor in weights.values()),
        "memory": techniques,
        "precision": trainer.precision,
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
        "gradient_clip_val": trainer.gradient_clip_val,
        "gradient_clip_algorithm": trainer.gradient_clip_algorithm,
        "max_epochs": trainer.max_epochs,
        "max_steps": trainer.max_steps,
        "limit_train_batches": trainer.limit_train_batches,
        "limit_val_batches": trainer.limit_val_batches,
        "val_check_interval": trainer.val_check_interval,
        "check_val_every_n_epoch": trainer.check_val_every_n_epoch,
        "callbacks": [_settings_of(callback) for callback in callbacks_of(trainer)],
    }
    hparams = {f"model {name}": value for name, value in module.hparams.items()}
    together = settings | asdict(options) | hparams
    return {name: str(value) for name, value in together.items()}


def check_agreement(everyone: Sequence[Mapping[str, str]]) -> None:
    """Refuse processes with different settings; every process of the run calls it.

    Args:
        everyone: What `settings_of` returned in each process, by rank.

    Raises:
        UsageError: On every process; the message names the first setting that differs.
    """
    first = everyone[0]
    for rank, other in enumerate(everyone):
        for name in sorted(first.keys() | other.keys()):
            of_first, of_other = first.get(name, "nothing"), other.get(name, "nothing")
            if of_first != of_other:
                raise UsageError(
                    f"rank 0 has {name} {of_first}, rank {rank} has {of_other}; start all "
                    f"processes with the same versions, config and flags"
                )


def _settings_of(callback: Callback) -> str:
    name = type(callback).__name__
    # Lightning's own name folders in theirs, which may differ
    return callback.state_key if type(callback).__module__.startswith("radenhance.") else name
