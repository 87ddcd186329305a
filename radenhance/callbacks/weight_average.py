"""Averages of the weights over the steps of a run, under every strategy.

Lightning's callbacks copy the module before a strategy has placed it. Where two devices share the
network, or each has a shard, such a copy is of weights that never change. Here each process
averages the tensors that it holds once they lie where they train. Where the averages are needed
they change places with the weights, and the strategy does with them what it does with weights:
gathers shards, takes the other stage's from its process, makes BatchNorm's statistics equal.

BatchNorm's running statistics are averaged as the weights are. A pass over the data with the
averaged weights would give exact ones, cost an epoch, and leave every validation before it with
statistics of other weights. Ranges of quantized activations follow the run: they are averages or
extremes already, infinite at first, and an average of grids is no grid that anything was trained
on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.plugins import HalfPrecision
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from typing_extensions import override

from radenhance.checkpoint import CURRENT, STATE, Checkpoint
from radenhance.compat.lightning import callbacks_of
from radenhance.errors import ParameterError, UsageError
from radenhance.strategies.protocol import PartitionedStrategy
from radenhance.strategies.sharding import local_tensor, shard_like

AVERAGING = "averaging_state"
NUM_AVERAGED = "n_averaged"
"""Names that Lightning has for them."""

STATISTICS = ("running_mean", "running_var")
"""Ends of the names of buffers that are averaged."""


class WeightAverage(Callback):
    """Averages weights over the steps of a fit, validates with the averages and keeps them.

    A checkpoint's weights are the averages; those of the last step are beside them, for the run to
    go on from.

    Args:
        kind: none for no averages; ema for an exponential moving average; swa for the mean of all
            steps since the start, stochastic weight averaging.
        decay: Share of the average that stays at each step of ema, in [0, 1): 1 / (1 - decay) steps
            count.
        start_step: Optimizer steps before the first one that is averaged. Until then weights are as
            without averages.
        every_n_steps: Optimizer steps from one that is averaged to the next.
    """

    def __init__(
        self,
        kind: Literal["none", "ema", "swa"] = "none",
        decay: float = 0.99,
        start_step: int = 0,
        every_n_steps: int = 1,
    ) -> None:
        if not 0 <= decay < 1:
            raise ParameterError("WeightAverage.decay", got=decay, expected="a number in [0, 1)")
        for name, number, least in (
            ("start_step", start_step, 0),
            ("every_n_steps", every_n_steps, 1),
        ):
            if number < least:
                expected = f"{least} or more"
                raise ParameterError(f"WeightAverage.{name}", got=number, expected=expected)
        self.kind = kind
        self.decay = decay
        self.start_step = start_step
        self.every_n_steps = every_n_steps
        self._restored: dict[str, Tensor] = {}
        self._averages: dict[str, Tensor] = {}
        self._num_averaged = 0
        self._seen_step = 0
        self._is_in_place = False

    @property
    @override
    def state_key(self) -> str:
        """What processes of a run must have in common."""
        chosen = (self.kind, self.decay, self.start_step, self.every_n_steps)
        return f"{type(self).__name__}{chosen}"

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse weights of 16 bits, whose average would stand still, and two averages."""
        self._restored, self._averages, self._num_averaged = {}, {}, 0
        self._is_in_place = False
        if stage != "fit" or self.kind == "none":
            return
        if isinstance(trainer.precision_plugin, HalfPrecision):
            raise UsageError(
                f"WeightAverage.kind is {self.kind!r}, and an average of weights of 16 bits loses "
                f'what a step adds to it; train with Trainer(precision="16-mixed")'
            )
        if any(isinstance(other, WeightAveraging) for other in callbacks_of(trainer)):
            raise UsageError(
                f"WeightAverage.kind is {self.kind!r} beside a callback that averages weights too; "
                f"leave out one of the two"
            )

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from the weights of the last step, where a checkpoint's own are averages."""
        if trainer.state.fn != "fit" or CURRENT not in checkpoint:
            return
        if any(isinstance(other, WeightAveraging) for other in callbacks_of(trainer)):
            return
        encoder = pl_module.hparams["encoder"]
        of_last_step = Checkpoint({**checkpoint, STATE: checkpoint[CURRENT]})
        pl_module.load_state_dict(of_last_step.state_for(pl_module.state_dict(), encoder))
        if self.kind == "none":
            rank_zero_info(
                "The checkpoint's weights are averages; without WeightAverage.kind the run goes on "
                "from those of its last step, and averages no more"
            )
            return
        self._num_averaged = _count_in(checkpoint)
        self._restored = dict(checkpoint[STATE])

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy what this process holds, now that it lies where it trains."""
        if self.kind == "none":
            return
        self._averages = {}
        with torch.no_grad():
            for name, tensor in _held(trainer, pl_module).items():
                kept = self._restored.get(name)
                average = tensor if kept is None else shard_like(kept, tensor)
                self._averages[name] = local_tensor(average).to(tensor.device, copy=True)
        self._restored = {}
        self._seen_step = trainer.global_step

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average after an optimizer step; most batches of an accumulation end without one."""
        step = trainer.global_step
        if not self._averages or step == self._seen_step:
            return
        self._seen_step = step
        since = step - self.start_step - 1
        if since >= 0 and since % self.every_n_steps == 0:
            self._average(_held(trainer, pl_module))

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate with the averages; the strategy makes statistics equal after this."""
        self._swap(trainer, pl_module)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back, before the checkpoint of the epoch is written."""
        if self._is_in_place:
            self._swap(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the averages in the module."""
        if not self._is_in_place:
            self._swap(trainer, pl_module)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Release the memory of the averages."""
        self._averages = {}

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the averages as the weights, and the weights of the last step beside them."""
        if not self._averages or self._num_averaged == 0:
            return
        here = _copied(checkpoint[STATE])
        with self._swapped(trainer, pl_module):
            other = _copied(trainer.strategy.lightning_module_state_dict())
        average, current = (here, other) if self._is_in_place else (other, here)
        checkpoint[STATE], checkpoint[CURRENT] = average, current
        checkpoint[AVERAGING] = {NUM_AVERAGED: self._num_averaged}

    def _average(self, held: Mapping[str, Tensor]) -> None:
        count = self._num_averaged
        share = 1 / (count + 1) if self.kind == "swa" or count == 0 else 1 - self.decay
        with torch.no_grad():
            for name, tensor in held.items():
                value = local_tensor(tensor)
                if count > 0 and (tensor.requires_grad or name.endswith(STATISTICS)):
                    self._averages[name].lerp_(value, share)
                else:
                    self._averages[name].copy_(value)
        self._num_averaged += 1

    @contextmanager
    def _swapped(self, trainer: Trainer, module: LightningModule) -> Iterator[None]:
        was_in_place = self._is_in_place
        self._swap(trainer, module)
        try:
            yield
        finally:
            self._swap(trainer, module)
            self._is_in_place = was_in_place

    def _swap(self, trainer: Trainer, module: LightningModule) -> None:
        """Let averages and weights change places, one after another: one copy at a time is made."""
        if not self._averages or self._num_averaged == 0:
            return
        with torch.no_grad():
            for name, tensor in _held(trainer, module).items():
                value, average = local_tensor(tensor), self._averages[name]
                kept = value.clone()
                value.copy_(average)
                average.copy_(kept)
        self._is_in_place = not self._is_in_place


def _held(trainer: Trainer, module: LightningModule) -> dict[str, Tensor]:
    """Return by name the parameters and buffers that this process trains with."""
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    strategy = trainer.strategy
    if not isinstance(strategy, PartitionedStrategy):
        return held
    return {name: tensor for name, tensor in held.items() if strategy.holds(tensor)}


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def _count_in(checkpoint: Mapping[str, Any]) -> int:
    state = checkpoint.get(AVERAGING)
    count = state.get(NUM_AVERAGED) if isinstance(state, Mapping) else None
    if isinstance(count, Tensor) and count.numel() == 1:  # as Lightning has it
        count = int(count)
    if not isinstance(count, int) or count < 1:
        raise UsageError(
            "the checkpoint does not say how many steps its averages are of; give another one, or "
            "start anew from its weights (ContrastEnhancer.weights)"
        )
    return count
