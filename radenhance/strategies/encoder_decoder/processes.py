"""Processes in pairs, under Lightning: how they start, connect, reduce and end.

What runs in them is in `strategy.py`. Each process of a pair has a stage, and each pair is one of
Lightning's replicas: it gets its own part of the samples, and values are reduced over pairs, since
the two processes of a pair have the same values.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from lightning_utilities.core.rank_zero import rank_zero_only as utils_rank_zero_only
from torch import Tensor
from typing_extensions import override

from radenhance.compat.lightning import SubprocessStrategy
from radenhance.compat.torch import set_group_timeout
from radenhance.errors import UsageError
from radenhance.strategies.connections import Connections
from radenhance.strategies.encoder_decoder.groups import (
    NUM_STAGES,
    Groups,
    StageName,
    name_of,
    pipeline_of,
    stage_of,
)
from radenhance.strategies.meeting import meet
from radenhance.strategies.peer_monitor import BUSY_S, PeerMonitor
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import PartitionedStrategy
from radenhance.strategies.replicated import PeerStrategy
from radenhance.strategies.sharding import end_in_place, is_sharded


class ProcessPairStrategy(PartitionedStrategy, PeerStrategy, SubprocessStrategy):
    """Starts processes, two for each pipeline, and ends them together.

    Args:
        process_group_backend: nccl or gloo, or null for the one that suits the device.
        timeout_s: Seconds without a sign of life of another process after which a run ends.
    """

    def __init__(self, process_group_backend: str | None, timeout_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s
        self.num_nodes = 1
        self._backend = process_group_backend
        self._doing = "the start"
        self._is_in_step = False
        self._failed_with: BaseException | None = None
        self._monitor: PeerMonitor | None = None
        self._connections = Connections()

    # what Lightning sets from Trainer(devices=..., num_nodes=...)

    @property
    @override
    def root_device(self) -> torch.device:
        assert self.parallel_devices is not None
        return self.parallel_devices[self.local_rank]

    @property
    def num_pipelines(self) -> int:
        """Number of pairs of encoder and decoder."""
        return self.world_size // NUM_STAGES

    @property
    def pipeline(self) -> int:
        """Number of the pair that this process belongs to."""
        return pipeline_of(self.global_rank)

    @property
    @override
    def stage_name(self) -> StageName:
        """The stage that runs here."""
        return stage_of(self.global_rank)

    @property
    @override
    def writes_results(self) -> bool:
        return self.stage_name == "decoder"

    @property
    def is_distributed(self) -> bool:
        """Whether Lightning divides a loader's samples, which it does between pairs."""
        return self.num_pipelines > 1

    @property
    @override
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        return {"num_replicas": self.num_pipelines, "rank": self.pipeline}

    # the start

    @override
    def setup_environment(self) -> None:
        super().setup_environment()
        reset_seed()
        self._set_world_ranks()
        if self.world_size < 2 or self.world_size % 2:
            raise UsageError(
                f"the strategy encoder_decoder has {self.world_size} processes, expected two or "
                f"pairs of them; use Trainer(devices=2) or Trainer(num_nodes=2)"
            )
        self._failed_with = None
        self._connections = Connections()
        with self._connections.noted():
            self._meet()
            self._groups = Groups(self.timeout_s)
        busy_s = max(BUSY_S, self.timeout_s)
        for group in (dist.group.WORLD, self._groups.pair, self._groups.replicas):
            # the monitor ends what waits in vain, and knows who is busy
            set_group_timeout(group, timedelta(seconds=busy_s))
        self._peers = PeerGroup(self._groups.pair, self.root_device)
        self._monitor = PeerMonitor(
            self._groups.listening,
            [name_of(rank) for rank in range(self.world_size)],
            timeout_s=self.timeout_s,
            moment=self._moment,
            cut=self._connections.cut,
            operation_s=busy_s,
        )

    def _set_world_ranks(self) -> None:
        environment = self.cluster_environment
        assert environment is not None
        environment.set_global_rank(self.node_rank * self.num_processes + self.local_rank)
        environment.set_world_size(self.num_nodes * self.num_processes)
        for only in (rank_zero_only, utils_rank_zero_only):
            # as Lightning's own strategies tell its functions for rank 0
            setattr(only, "rank", self.global_rank)  # noqa: B010

    def _meet(self) -> None:
        assert self.cluster_environment is not None
        meet(
            self.cluster_environment,
            self._backend or dist.get_default_backend_for_device(self.root_device),
            num_nodes=self.num_nodes,
            name=name_of(self.global_rank),
            timeout=timedelta(seconds=self.timeout_s),
        )

    def _moment(self) -> str:
        return self._doing

    @override
    def watching(self) -> AbstractContextManager[None]:
        if self._failed_with is not None:  # nobody answers any more
            raise self._failed_with
        return self._monitor.watch() if self._monitor is not None else nullcontext()

    # between processes

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """Refuse what waits for the other process in the block, where that one waits for this."""
        self._is_in_step = True
        try:
            yield
        finally:
            self._is_in_step = False

    def _refuse_in_step(self, method: str) -> None:
        if self._is_in_step:
            raise UsageError(
                f"a step calls {method} of its strategy, which waits for the other process while "
                f"that one waits for this step; call it in a hook, such as on_train_batch_end"
            )

    @override
    def barrier(self, name: str | None = None) -> None:
        if not dist.is_initialized():
            return
        self._refuse_in_step("barrier")
        with self.watching():
            dist.all_reduce(torch.zeros(1, device=self.root_device))

    @override
    def broadcast(self, obj: Any, src: int = 0) -> Any:
        self._refuse_in_step("broadcast")
        return super().broadcast(obj, src)

    @override
    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """Gather over pipelines, as the two processes of a pipeline have the same values."""
        everyone = group is None or group is dist.group.WORLD
        with self.watching():
            own = self._groups.replicas if everyone else group
            return super().all_gather(tensor, group=own, sync_grads=sync_grads)

    @override
    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Reduce over pipelines, as the two processes of a pipeline have the same values."""
        if not isinstance(tensor, Tensor) or self.num_pipelines == 1:
            return tensor
        reduced = tensor.clone()
        mean = str(reduce_op).lower() in ("mean", "avg")
        with self.watching():
            dist.all_reduce(
                reduced, dist.ReduceOp.SUM if mean else _operation(reduce_op), self._groups.replicas
            )
        return reduced / self.num_pipelines if mean else reduced

    @override
    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        self._refuse_in_step("reduce_boolean_decision")
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
        if self._monitor is not None:
            self._monitor.end()
            self._monitor = None
        self._connections.forget()
        if self.lightning_module is not None and is_sharded(self.lightning_module):
            end_in_place(self)
        else:
            super().teardown()


def _operation(reduce_op: Any) -> Any:
    return getattr(dist.ReduceOp, reduce_op.upper()) if isinstance(reduce_op, str) else reduce_op
