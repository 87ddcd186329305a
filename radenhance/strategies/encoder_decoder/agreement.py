"""What the decoder's hooks have decided rules in the encoder's process too.

Both processes run the same hooks on the same values. But those of the encoder were computed on
another device, perhaps of another kind, and a hook may ask for the rank or the time. A learning
rate that one of them lowers, and the other one does not, would train two halves of a network
differently. So the encoder's process takes param_groups before each step of the optimizer; and
monitored values and the state of schedules after each validation and before each epoch.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from radenhance.compat.lightning import take_metrics
from radenhance.strategies.config_check import plain
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.teams import EndTogether


class Agreement(EndTogether):
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
        super().__init__(fail)
        self._peers = peers
        self._watching = watching
        self._takes = dist.get_rank(peers.group) != GROUP_RANK["decoder"]

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
