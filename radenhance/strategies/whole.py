"""Forward and backward pass of the whole network, as each process runs them that has all of it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import Precision
from torch import Tensor

from radenhance.strategies.protocol import PhaseEnded


class WholePasses:
    """The passes of a LightningModule without a trainer.

    Args:
        module: LightningModule.
        precision: Precision plugin of the run.
    """

    def __init__(self, module: LightningModule, precision: Precision) -> None:
        self._module = module
        self._precision = precision

    def run(self, batch: Any, phase_ended: PhaseEnded) -> None:
        """Leave the gradients of a batch in the parameters."""
        with self._precision.train_step_context(), _quiet():
            losses: list[Any] = [self._module.training_step(batch, 0)]
        phase_ended("forward")
        losses.pop().backward()

    def tensors(self) -> list[Tensor]:
        """Return all parameters and buffers."""
        return [*self._module.parameters(), *self._module.buffers()]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from warning that a step without a trainer logs nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*self.trainer` reference is not registered.*")
        yield
