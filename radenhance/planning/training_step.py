"""One training step in the order of Lightning's loop, without a trainer, a loader or a logger.

The forward and backward passes that the run's strategy makes of the module's training step, then
the optimizer, then the gradients released, as `ContrastEnhancer` does.
"""

import inspect
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import Precision
from torch import Tensor
from torch.optim import Optimizer

from radenhance.errors import UsageError
from radenhance.strategies.protocol import Passes, PhaseEnded, ignore_phase
from radenhance.strategies.whole import WholePasses

Batch = dict[str, Any]


class TrainingStep:
    """What `fit` does with a batch; call it, or run the passes and the optimizer one by one.

    Args:
        module: LightningModule as `fit` makes it, in the types of its precision.
        precision: Precision plugin.
        passes: Passes of one process; those of the whole network if None.
        accumulates: Whether gradients of earlier batches wait while a step runs.
        num_averages: Copies of the weights that callbacks keep on the device.
        has_buckets: Whether replicas exchange gradients in buckets, as DDP does.

    Raises:
        UsageError: The optimizer's memory depends on the data.
    """

    def __init__(
        self,
        module: LightningModule,
        precision: Precision,
        passes: Passes | None = None,
        *,
        accumulates: bool = False,
        num_averages: int = 0,
        has_buckets: bool = False,
    ) -> None:
        module.train()
        self.module = module
        self.accumulates = accumulates
        self._passes = WholePasses(module, precision) if passes is None else passes
        self._precision = precision
        self._num_averages = num_averages
        self._has_buckets = has_buckets
        self._optimizer = _optimizer_of(module)

    def __call__(self, batch: Batch) -> None:
        """Run the whole step."""
        self.pass_forth_and_back(self.converted(batch), ignore_phase)
        self.optimize()

    def converted(self, batch: Batch) -> Batch:
        """Return a batch in the types that the precision asks for."""
        result: Batch = self._precision.convert_input(batch)
        return result

    def pass_forth_and_back(self, batch: Batch, phase_ended: PhaseEnded) -> None:
        """Make the gradients of a batch."""
        self._passes.run(batch, phase_ended)

    def optimize(self) -> None:
        """Change the weights, and release the gradients."""
        self._optimizer.step()
        if not self.accumulates:
            self._optimizer.zero_grad()

    def weights(self) -> list[Tensor]:
        """Return parameters and buffers on this process's device."""
        return self._passes.tensors()

    def averages(self) -> list[Tensor]:
        """Return new copies of the weights, as many as callbacks keep."""
        return [torch.empty_like(t) for t in self.weights() for _ in range(self._num_averages)]

    def buckets(self) -> list[Tensor]:
        """Return new memory for the gradients that replicas exchange."""
        # DDP's gradients are not views of its buckets where nobody asks for it
        return [torch.empty_like(t) for t in self._trained()] if self._has_buckets else []

    def make_gradients(self) -> None:
        """Make gradients of 0, as if a step had been."""
        for parameter in self._trained():
            parameter.grad = torch.zeros_like(parameter)

    def _trained(self) -> list[Tensor]:
        return [tensor for tensor in self.weights() if tensor.requires_grad]


def _optimizer_of(module: LightningModule) -> Optimizer:
    configured = module.configure_optimizers()
    optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    assert isinstance(optimizer, Optimizer)
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UsageError(
            f"{type(optimizer).__name__} repeats a step as often as the data ask for, and keeps "
            f"gradients of earlier ones: its memory depends on the data"
        )
    return optimizer
