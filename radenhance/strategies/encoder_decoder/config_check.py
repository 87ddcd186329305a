"""Whether all processes were started alike, found out before anything is trained."""

from typing import TYPE_CHECKING, Any

import lightning
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from radenhance import __version__
from radenhance.errors import UsageError

if TYPE_CHECKING:
    from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy


def refuse_unsupported(trainer: Trainer, module: LightningModule) -> None:
    """Refuse what would train wrongly with a network in two halves.

    Raises:
        UsageError: It names what, and what to use instead.
    """
    fits = trainer.state.fn == "fit"
    if fits and not module.automatic_optimization:
        raise UsageError("encoder_decoder cannot run manual optimization; use automatic")
    averaging = (StochasticWeightAveraging, WeightAveraging)
    for callback in _callbacks(trainer):
        if fits and isinstance(callback, averaging):
            raise UsageError(
                f"encoder_decoder cannot run {type(callback).__name__}, which would average one "
                f"half of the network only; leave it out"
            )


def check_agreement(
    strategy: "EncoderDecoderStrategy", trainer: Trainer, module: LightningModule
) -> None:
    """Refuse processes with other versions or other settings.

    Raises:
        UsageError: On every process; it names the first setting that differs.
    """
    everyone: list[Any] = [None] * strategy.world_size
    dist.all_gather_object(everyone, _settings(strategy, trainer, module))
    first = everyone[0]
    for rank, other in enumerate(everyone):
        for name in sorted(first.keys() | other.keys()):
            ours, theirs = first.get(name, "nothing"), other.get(name, "nothing")
            if ours != theirs:
                raise UsageError(
                    f"rank 0 has {name} {ours}, rank {rank} has {theirs}; start both with the same "
                    f"versions, config and flags"
                )


def _callbacks(trainer: Trainer) -> list[Callback]:
    callbacks: list[Callback] = vars(trainer)["callbacks"]  # Lightning does not declare it
    return callbacks


def _settings(
    strategy: "EncoderDecoderStrategy", trainer: Trainer, module: LightningModule
) -> dict[str, str]:
    weights = module.state_dict()
    settings: dict[str, Any] = {
        "radenhance": __version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "command": trainer.state.fn,
        "LightningModule": type(module).__name__,
        "number of weights": sum(tensor.numel() for tensor in weights.values()),
        "memory": getattr(module, "memory", None),
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
        "callbacks": [type(callback).__name__ for callback in _callbacks(trainer)],
        "micro_batch_size": strategy.micro_batch_size,
        "schedule": strategy.schedule,
        "cut": strategy.cut,
        "bfloat16_transfer": strategy.bfloat16_transfer,
        "sharded": strategy.sharded,
    }
    hparams = {f"model {name}": value for name, value in module.hparams.items()}
    return {name: str(value) for name, value in (settings | hparams).items()}
