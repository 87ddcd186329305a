"""The default schedule of the learning rate, whose length is a part of the run.

A schedule that asks how long the run is going to be while it runs gets another answer when the run
goes on with other flags, or accumulates gradients otherwise in some epochs, and its rate jumps.
Here the length is counted once, when training begins, and kept in the checkpoint.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from radenhance.compat.lightning import callbacks_of
from radenhance.compat.torch import set_rates
from radenhance.errors import UsageError

Extension = Literal["constant", "rewarm", "cosine"]

LOWEST = 0.01
"""Share of the full rate in the steps that a run goes on for, by default."""

MOST_RISING = 1000
"""Steps in which the rate rises again at most, where a run goes on without end."""

PLAN = ("begin", "num_steps", "end", "lowest", "rise", "warmup_steps")


class HalfCosine(LRScheduler):
    """Learning rate from full at step 0 to 0 at the end of the run, along half a cosine.

    Until its length is known, and in a run without end, the rate stays full. In the first
    `warmup_steps` it rises in equal steps to where it would be without them.

    Args:
        optimizer: The optimizer of the run.
        warmup_steps: Number of optimizer steps in which the rate rises.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int = 0) -> None:
        self.begin = 0
        self.num_steps: float | None = None
        self.end: float | None = None  # of the run, perhaps after that of the cosine
        self.lowest = 0.0
        self.rise = self.warmup_steps = warmup_steps
        super().__init__(optimizer)

    @override
    def get_lr(self) -> list[float | Tensor]:
        return [rate * self._factor for rate in self.base_lrs]

    @property
    def _factor(self) -> float:
        step = self.last_epoch - self.begin
        done = min(step / max((self.num_steps or math.inf) - self.begin, 1), 1)
        risen = min((step + 1) / (self.rise + 1), 1)
        return risen * max(0.5 * (1 + math.cos(math.pi * done)), self.lowest)

    def fix_length(self, num_steps: float, extend: Extension = "constant") -> str | None:
        """Take the length of the run, and return a sentence where a checkpoint has another.

        Args:
            num_steps: Number of optimizer steps of the run, infinite for one without end.
            extend: What the rate does where the run is longer than it was to be: see
                `ContrastEnhancer`.
        """
        kept = self.end
        if kept is None or self.num_steps is None:
            self.num_steps = self.end = num_steps
            if self.last_epoch > 0:  # an older version's state, whose rate may be that of an end
                set_rates(self, self.get_lr())
            return None
        if num_steps > kept:
            self.end = num_steps
            return self._extend(kept, num_steps, extend)
        if num_steps < self.num_steps:
            if math.isinf(self.num_steps):
                return (
                    f"the run ends {_at(num_steps)} now, and its learning rate stays full, as it "
                    f"began without an end"
                )
            return (
                f"the run ends {_at(num_steps)} now, and its learning rate goes on falling to "
                f"0 {_at(self.num_steps)}, as it was to when the run began"
            )
        return None

    def _extend(self, kept: float, num_steps: float, extend: Extension) -> str:
        if extend == "constant":
            self.lowest = LOWEST
            does = f"falls as it was to, and stays at {LOWEST:.0%} of the full one"
        else:
            self.num_steps, self.lowest = num_steps, 0.0
        if extend == "rewarm":
            self.begin = self.last_epoch
            tenth = min((num_steps - self.begin) / 10, MOST_RISING)
            self.rise = self.warmup_steps or math.ceil(tenth)
            does = f"rises to the full one in {self.rise} steps, and falls to 0 from there"
        elif extend == "cosine":
            does = f"falls from {self._factor:.0%} of the full one to 0"
        set_rates(self, self.get_lr())
        return (
            f"the run was to end {_at(kept)} and now ends {_at(num_steps)}; by "
            f"ContrastEnhancer.extend {extend} its learning rate {does}"
        )

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state; that of a checkpoint of earlier versions has no length.

        Args:
            state_dict: What `state_dict` returned.

        Raises:
            UsageError: It does not say at which step it is.
        """
        if "last_epoch" not in state_dict:
            raise UsageError(
                "the checkpoint does not say at which step its learning rate is; give another "
                "checkpoint"
            )
        ours = self.state_dict()
        state = {name: state_dict[name] for name in ours if name in state_dict}
        if not _is_plan(*(state.get(name) for name in PLAN)):
            state |= {name: ours[name] for name in PLAN}
        elif state["begin"] == 0:
            state["rise"] = state["warmup_steps"]
        super().load_state_dict(state)


def _is_plan(begin: Any, num_steps: Any, end: Any, lowest: Any, *rises: Any) -> bool:
    numbers = (begin, num_steps, end, lowest, *rises)
    return (
        all(isinstance(number, int | float) for number in numbers)
        and 0 <= begin < num_steps <= end
        and 0 <= lowest <= 1
        and all(0 <= steps < math.inf for steps in rises)
    )


def _at(number: float) -> str:
    return f"at step {number}" if math.isfinite(number) else "never"


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
    for callback in callbacks_of(trainer):
        if isinstance(callback, GradientAccumulationScheduler):
            factors = callback.scheduling
    epochs = max(epochs, 1)
    starts = sorted(epoch for epoch in factors if epoch < epochs)
    steps = sum(
        (end - start) * math.ceil(trainer.num_training_batches / factors[start])
        for start, end in zip(starts, [*starts[1:], epochs], strict=True)
    )
    return min(steps, limit)
