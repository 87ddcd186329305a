"""Whether all processes were started alike, found out before anything is trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import OnExceptionCheckpoint

from radenhance import __version__
from radenhance.compat.lightning import callbacks_of
from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques


def settings_of(
    options: Mapping[str, object],
    techniques: MemoryTechniques,
    trainer: Trainer,
    module: LightningModule,
) -> dict[str, str]:
    """Return by name what all processes of a run must have in common.

    Args:
        options: Those of the strategy.
        techniques: The memory techniques.
        trainer: The trainer.
        module: The module.
    """
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
    together = settings | dict(options) | hparams
    return {name: str(value) for name, value in together.items()}


def training_settings_of(trainer: Trainer) -> dict[str, str]:
    """Return by name what all processes must have in common of optimizers and schedules.

    It is known once they are made.
    """
    settings: dict[str, Any] = {}
    for number, optimizer in enumerate(trainer.optimizers):
        settings[f"optimizer {number}"] = type(optimizer).__qualname__
        for i, group in enumerate(optimizer.param_groups):
            of_group = {"parameters": [tuple(p.shape) for p in group["params"]], **plain(group)}
            settings |= {f"param_groups[{i}] {name}": value for name, value in of_group.items()}
    for config in trainer.lr_scheduler_configs:
        name = f"lr_scheduler {type(config.scheduler).__qualname__}"
        settings |= {f"{name} {key}": value for key, value in plain(vars(config)).items()}
        settings |= {
            f"{name} {key}": value for key, value in plain(config.scheduler.state_dict()).items()
        }
    return {name: str(value) for name, value in settings.items()}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are numbers, strings, None, or lists, tuples and dicts of these."""
    return {name: value for name, value in values.items() if name != "params" and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, [*value.keys(), *value.values()]))
    if isinstance(value, list | tuple):
        return not hasattr(value, "_fields") and all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


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
    if isinstance(callback, OnExceptionCheckpoint):  # names a folder, which may differ
        return type(callback).__name__
    # a user's own may note the time or the host
    of_library = type(callback).__module__.startswith("lightning.")
    known = {
        name: value
        for name, value in vars(callback).items()
        if not name.startswith("_") and type(value) in (bool, int, float)
    }
    return f"{callback.state_key} {known}" if of_library and known else callback.state_key
