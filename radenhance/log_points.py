"""When and where callbacks log, and how the ranks of a run tell each other what they saw."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch.distributed
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

from radenhance.compat.lightning import logged_step
from radenhance.foreign_text import one_line
from radenhance.strategies.leaves import map_leaves
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import PartitionedStrategy
from radenhance.strategies.sharding import full_on_cpu

Seen = TypeVar("Seen")

OTHERS = ("wandb.", "mlflow.")
"""Where exceptions of loggers are defined, which mean a server that does not answer as well."""


def is_log_point(trainer: Trainer) -> bool:
    """Return whether the optimizer step that just ended is one that is logged."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return every > 0 and trainer.global_step % every == 0


def log_metrics(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Log at the running step, as Lightning counts it."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=step_of(trainer))


def log_image(trainer: Trainer, name: str, image: npt.NDArray[np.uint8]) -> None:
    """Log a picture with every logger that takes one: TensorBoard, and those with `log_image`.

    Args:
        trainer: Trainer of the run.
        name: Name of the picture.
        image: Grey values, shape (H, W).
    """
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step_of(trainer), dataformats="HW")
        elif isinstance(logger, MLFlowLogger):
            key, step = name.replace("/", "_"), step_of(trainer)
            logger.experiment.log_image(logger.run_id, image, key=key, step=step)
        elif callable(take := getattr(logger, "log_image", None)):  # such as WandbLogger
            take(name, [image], step=step_of(trainer))


def flush(trainer: Trainer) -> None:
    """Let loggers write what they have been given; TensorBoard's would keep it for two minutes."""
    with without_curves():
        for logger in trainer.loggers:
            logger.save()
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()


@contextmanager
def without_curves() -> Iterator[None]:
    """Let a run go on, with a warning, where its curves and pictures cannot be written.

    Their disk may be full and their folder may vanish, which costs days of training nothing but the
    sight of them. Checkpoints are another matter (`callbacks.last_checkpoint`).
    """
    try:
        yield
    except Exception as error:
        # Lightning makes a ValueError of whatever TensorBoard raises
        fault = error if isinstance(error, OSError) else error.__cause__
        if type(error).__module__.startswith(OTHERS):
            _warn_once(one_line(error))
        elif isinstance(fault, OSError):
            _warn_once(fault.strerror or str(fault))
        else:
            raise


@functools.cache
def _warn_once(reason: str) -> None:
    rank_zero_warn(
        f"Curves and pictures of this run cannot be written any more ({reason}); it goes on "
        f"without them, and still writes its checkpoints."
    )


def step_of(trainer: Trainer) -> int:
    """Return where on the step axis Lightning logs now."""
    return logged_step(trainer)


def stage_of(trainer: Trainer) -> str | None:
    """Return what to call this rank: its stage, or its number, or nothing where there is one."""
    strategy = trainer.strategy
    name = strategy.stage_name if isinstance(strategy, PartitionedStrategy) else None
    if name is None and trainer.world_size > 1:
        return f"rank{trainer.global_rank}"
    return name


def gathered(seen: Seen) -> list[Seen]:
    """Return what every rank saw, in the order of the ranks; every rank must call it.

    Args:
        seen: Plain data and tensors, in dicts, lists and tuples.

    Returns:
        The same of every rank, with tensors on the CPU.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [seen]
    of_all: list[Seen] = map_leaves(full_on_cpu, PeerGroup.of_all().gather(seen))
    return of_all
