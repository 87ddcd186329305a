"""Processes in teams, under Lightning: how they connect, wait for each other, reduce and end.

The processes of a team train on one batch together, each with a part of the network or of the
image, and have the same values. Each team is one of Lightning's replicas: it gets its own part of
the samples, and values are reduced over teams. Whatever becomes of one process, the others end in
time and say what it was (`peer_monitor.py`).
"""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from typing_extensions import override

from radenhance.compat.lightning import callbacks_of, is_accumulating, note_sigterm
from radenhance.compat.torch import set_group_timeout
from radenhance.strategies.connections import Connections
from radenhance.strategies.groups import Groups, make_groups
from radenhance.strategies.peer_monitor import BUSY_S, PeerMonitor
from radenhance.strategies.protocol import PartitionedStrategy
from radenhance.strategies.replicated import PeerStrategy


class TeamStrategy(PartitionedStrategy, PeerStrategy):
    """Connects processes, watches them, and ends them together.

    Args:
        timeout_s: Seconds without a sign of life of another process after which a run ends.
        options: Those of the class that starts the processes.
    """

    _groups: Groups

    def __init__(self, timeout_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.timeout_s = timeout_s
        self._doing = "the start"
        self._failed_with: BaseException | None = None
        self._monitor: PeerMonitor | None = None
        self._connections = Connections()

    # the processes

    @property
    @abstractmethod
    def team_size(self) -> int:
        """Number of processes that train on a batch together."""

    @property
    def num_replicas(self) -> int:
        """Number of teams."""
        return self.world_size // self.team_size

    @property
    def replica(self) -> int:
        """Number of the team that this process belongs to."""
        return self.global_rank // self.team_size

    @property
    def is_distributed(self) -> bool:
        """Whether Lightning divides a loader's samples, which it does between teams."""
        return self.num_replicas > 1

    @property
    @override
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        return {"num_replicas": self.num_replicas, "rank": self.replica}

    def name_of(self, rank: int) -> str:
        """Return what a process is called in a message."""
        return f"rank {rank}"

    # the start

    @abstractmethod
    def _meet(self) -> None:
        """Meet the other processes: start torch.distributed."""

    def _connect(self) -> None:
        """Meet the other processes, and watch them from now on."""
        self._failed_with = None
        self._connections = Connections()
        busy_s = max(BUSY_S, self.timeout_s)  # the monitor ends what waits in vain
        with self._connections.noted():
            self._meet()
            self._groups = make_groups(self.team_size, operation_s=busy_s, timeout_s=self.timeout_s)
        set_group_timeout(dist.group.WORLD, timedelta(seconds=busy_s))
        self._monitor = PeerMonitor(
            self._groups.listening,
            [self.name_of(rank) for rank in range(self.world_size)],
            timeout_s=self.timeout_s,
            moment=lambda: self._doing,
            cut=self._connections.cut,
            operation_s=busy_s,
        )

    @override
    def watching(self) -> AbstractContextManager[None]:
        if self._failed_with is not None:  # nobody answers any more
            raise self._failed_with
        return self._monitor.watch() if self._monitor is not None else nullcontext()

    # between processes

    @override
    def barrier(self, name: str | None = None) -> None:
        if dist.is_initialized():
            self.reduce_boolean_decision(True)

    @override
    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        with self.watching():
            return super().all_gather(tensor, group=group, sync_grads=sync_grads)

    @override
    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Reduce over teams, as the processes of a team have the same values."""
        if not isinstance(tensor, Tensor) or self.num_replicas == 1:
            return tensor
        reduced = tensor.clone()
        mean = str(reduce_op).lower() in ("mean", "avg")
        with self.watching():
            dist.all_reduce(
                reduced, dist.ReduceOp.SUM if mean else _operation(reduce_op), self._groups.replicas
            )
        return reduced / self.num_replicas if mean else reduced

    @override
    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        votes = torch.tensor(int(decision), device=self.root_device)
        with self.watching():
            dist.all_reduce(votes)
        return bool(votes == self.world_size) if all else bool(votes)

    # the end

    def fail(self, exception: BaseException) -> None:
        """Tell the other processes why this one fails, and wait for them no more.

        What stops all of them after the same batch is no failure, and they may still write a
        checkpoint together.
        """
        if self._monitor is not None and not isinstance(
            exception, SIGTERMException | KeyboardInterrupt
        ):
            self._monitor.report(exception)
            self._failed_with = exception

    @override
    def on_exception(self, exception: BaseException) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.end_with(exception)

    @override
    def teardown(self) -> None:
        self._disconnect()
        super().teardown()

    def _disconnect(self) -> None:
        if self._monitor is not None:
            self._monitor.end()
            self._monitor = None
        self._connections.forget()
        if self.lightning_module is not None:
            callbacks = callbacks_of(self.lightning_module.trainer)
            callbacks[:] = [one for one in callbacks if not isinstance(one, EndTogether)]


class EndTogether(Callback):
    """Ends all processes together, before other callbacks act; a run's first callback.

    A process that is asked to end by SIGTERM may be one of several. It notes that, and after the
    batch all raise SIGTERMException, and may still write a checkpoint together. One that fails
    tells the others before its other callbacks wait for them.

    Args:
        fail: Function that tells the other processes why this one fails.
    """

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
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

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True

    def _end_if_asked(self, trainer: Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            raise SIGTERMException


def _operation(reduce_op: Any) -> Any:
    return getattr(dist.ReduceOp, reduce_op.upper()) if isinstance(reduce_op, str) else reduce_op
