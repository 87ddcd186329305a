"""The default schedule of the learning rate, whose length is a part of the run.

A schedule that asks how long the run is going to be while it runs gets another answer when the run
goes on with other flags, or accumulates gradients otherwise in some epochs, and its rate jumps.
Here the length is counted once, when training begins, and kept in the checkpoint.
"""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

LENGTH = "num_steps"


class HalfCosine(LRScheduler):
    """Learning rate from full at step 0 to 0 at the end of the run, along half a cosine.

    Until its length is known, and in a run without end, the rate stays full. In the first
    `warmup_steps` it rises in equal steps to where it would be without them.

    Args:
        optimizer: The optimizer of the run.
        warmup_steps: Number of optimizer steps in which the rate rises.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int = 0) -> None:
        self.num_steps: float | None = None
        self.warmup_steps = warmup_steps
        super().__init__(optimizer)

    @override
    def get_lr(self) -> list[float]:
        factor = self._factor(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]

    def _factor(self, step: int) -> float:
        done = min(step / (self.num_steps or math.inf), 1)
        risen = min((step + 1) / (self.warmup_steps + 1), 1)
        return risen * 0.5 * (1 + math.cos(math.pi * done))

    def fix_length(self, num_steps: float) -> None:
        """Take a length, unless a checkpoint gave one.

        Args:
            num_steps: Number of optimizer steps of the run, infinite for one without end.
        """
        if self.num_steps is None:
            self.num_steps = num_steps

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state; that of a checkpoint of earlier versions has no length.

        Args:
            state_dict: What `state_dict` returned.
        """
        state = {name: state_dict[name] for name in self.state_dict() if name in state_dict}
        length = state.get(LENGTH)
        if not (isinstance(length, int | float) and length > 0):
            state[LENGTH] = None
        super().load_state_dict(state | {"warmup_steps": self.warmup_steps})


def count_steps(trainer: Trainer) -> float:
    """Return the number of optimizer steps of a run from its first epoch, infinite without an end.

    The last window of accumulation in an epoch is a step where it is shorter as well. Lightning's
    own count refuses accumulation that changes from epoch to epoch. `Trainer.max_time` does not
    count, as nobody knows the steps in it.

    Args:
        trainer: A trainer that has its loaders, as in `on_train_start`.
    """
    limit = math.inf if trainer.max_steps == -1 else trainer.max_steps
    epochs = trainer.max_epochs
    if epochs in (None, -1) or math.isinf(trainer.num_training_batches):
        return limit
    factors = {0: trainer.accumulate_grad_batches}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler):
            factors = callback.scheduling
    epochs = max(epochs, 1)
    starts = sorted(epoch for epoch in factors if epoch < epochs)
    steps = sum(
        (end - start) * math.ceil(trainer.num_training_batches / factors[start])
        for start, end in zip(starts, [*starts[1:], epochs], strict=True)
    )
    return min(steps, limit)
