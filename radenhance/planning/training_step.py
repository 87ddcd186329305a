"""One training step in the order of Lightning's loop, without a trainer, a loader or a logger.

The training step of the module, then the backward pass, then the optimizer, then the gradients set
free, as `ContrastEnhancer` does.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import Precision
from torch import Tensor
from torch.optim import Optimizer

Batch = dict[str, Any]


class TrainingStep:
    """What `fit` does with a batch; call it, or run its three phases one after the other.

    Args:
        module: As `fit` would make it.
        precision: Of Lightning; it converts the module.
        accumulates: Whether gradients of earlier batches wait while a step runs.
    """

    def __init__(
        self, module: LightningModule, precision: Precision, *, accumulates: bool = False
    ) -> None:
        precision.convert_module(module)  # in place
        module.train()
        self.module = module
        self.accumulates = accumulates
        self._precision = precision
        self._optimizer = _optimizer_of(module)

    def __call__(self, batch: Batch) -> None:
        """Run the whole step."""
        self.backward(self.forward(batch))
        self.optimize()

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss."""
        with self._precision.train_step_context(), _quiet():
            loss = self.module.training_step(batch, 0)
        assert isinstance(loss, Tensor)
        return loss

    def backward(self, loss: Tensor) -> None:
        """Make the gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def make_gradients(self) -> None:
        """Make gradients of 0, as if a step had been."""
        for parameter in self.module.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)

    def optimize(self) -> None:
        """Change the weights, and set the gradients free."""
        self._optimizer.step()
        if not self.accumulates:
            self._optimizer.zero_grad()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from saying that a step without a trainer logs nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*self.trainer` reference is not registered.*")
        yield


def _optimizer_of(module: LightningModule) -> Optimizer:
    configured = module.configure_optimizers()
    optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    assert isinstance(optimizer, Optimizer)
    return optimizer
