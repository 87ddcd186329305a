"""What the decoder's hooks have decided rules in the encoder's process too; and both end together.

Both processes run the same hooks on the same values. But those of the encoder were computed on
another device, perhaps of another kind, and a hook may ask for the rank or the time. A learning
rate that one of them lowers, and the other one does not, would train two halves of a network
differently. So the encoder's process takes param_groups before each step of the optimizer; and
monitored values and the state of schedules after each validation and before each epoch.

A process that is asked to end by SIGTERM may be one of two. It notes that, and after the batch both
raise SIGTERMException, and may still write a checkpoint together. One that fails tells the others
before its other callbacks wait for them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from radenhance.compat.lightning import is_accumulating, note_sigterm, take_metrics
from radenhance.strategies.config_check import plain
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK
from radenhance.strategies.peers import PeerGroup


class Agreement(Callback):
    """Gives the encoder's process what the decoder's has, before other callbacks read it.

    Args:
        peers: The two processes.
        watching: Makes the context of what waits for the other process.
        fail: Function that tells the other processes why this one fails.
    """

    def __init__(
        self,
        peers: PeerGroup,
        watching: Callable[[], AbstractContextManager[None]],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._peers = peers
        self._watching = watching
        self._fail = fail
        self._takes = dist.get_rank(peers.group) != GROUP_RANK["decoder"]
        self._asked = False

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._fail(exception)

    @override
    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        note_sigterm(trainer, self._note)

    on_train_start = on_test_start = on_predict_start = on_validation_start = on_sanity_check_start

    @override
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if not is_accumulating(trainer):
            self._end_if_asked(trainer)

    @override
    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._end_if_asked(trainer)

    @override
    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._end_if_asked(trainer)

    @override
    def on_predict_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._end_if_asked(trainer)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree(trainer)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree(trainer)

    def share_groups(self, optimizers: Sequence[Optimizer]) -> None:
        """Take learning rates and other options of the decoder's param_groups."""
        told = self._told([[_options(group) for group in one.param_groups] for one in optimizers])
        for optimizer, groups in zip(optimizers, told, strict=True):
            for group, options in zip(optimizer.param_groups, groups, strict=True):
                _take(group, options)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True

    def _end_if_asked(self, trainer: Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            raise SIGTERMException

    def _agree(self, trainer: Trainer) -> None:
        self.share_groups(trainer.optimizers)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        own = [plain(scheduler.state_dict()) for scheduler in schedulers]
        states, metrics = self._told([own, dict(trainer.callback_metrics)])
        if not self._takes:
            return
        take_metrics(trainer, metrics)
        for scheduler, state, told in zip(schedulers, own, states, strict=True):
            if state != told:
                scheduler.load_state_dict({**scheduler.state_dict(), **told})

    def _told(self, value: Any) -> Any:
        with self._watching():
            return self._peers.broadcast(value, source=GROUP_RANK["decoder"])


def _options(group: dict[str, Any]) -> dict[str, Any]:
    tensors = {name: value for name, value in group.items() if isinstance(value, Tensor)}
    return plain(group) | tensors


def _take(group: dict[str, Any], options: dict[str, Any]) -> None:
    for name, value in options.items():
        if isinstance(value, Tensor) and isinstance(group.get(name), Tensor):
            group[name].copy_(value)
        elif group.get(name) != value:
            group[name] = value
