"""Processes in pairs, under Lightning: how they start, and what they may not wait for.

What runs in them is in `strategy.py`. Each process of a pair has a stage, and each pair is a team
(`strategies/teams.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from lightning_utilities.core.rank_zero import rank_zero_only as utils_rank_zero_only
from torch import Tensor
from typing_extensions import override

from radenhance.compat.lightning import SubprocessStrategy
from radenhance.errors import UsageError
from radenhance.strategies.encoder_decoder.groups import NUM_STAGES, StageName, name_of, stage_of
from radenhance.strategies.meeting import meet
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.sharding import end_in_place, is_sharded
from radenhance.strategies.teams import TeamStrategy


class ProcessPairStrategy(TeamStrategy, SubprocessStrategy):
    """Starts processes, two for each pipeline.

    Args:
        process_group_backend: nccl or gloo, or null for the one that suits the device.
        timeout_s: Seconds without a sign of life of another process after which a run ends.
    """

    team_size = NUM_STAGES

    def __init__(self, process_group_backend: str | None, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.num_nodes = 1
        self._backend = process_group_backend
        self._is_in_step = False

    # what Lightning sets from Trainer(devices=..., num_nodes=...)

    @property
    @override
    def root_device(self) -> torch.device:
        assert self.parallel_devices is not None
        return self.parallel_devices[self.local_rank]

    @property
    @override
    def stage_name(self) -> StageName:
        """The stage that runs here."""
        return stage_of(self.global_rank)

    @property
    @override
    def writes_results(self) -> bool:
        return self.stage_name == "decoder"

    @override
    def name_of(self, rank: int) -> str:
        return name_of(rank)

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
        self._connect()
        self._peers = PeerGroup(self._groups.team, self.root_device)

    def _set_world_ranks(self) -> None:
        environment = self.cluster_environment
        assert environment is not None
        environment.set_global_rank(self.node_rank * self.num_processes + self.local_rank)
        environment.set_world_size(self.num_nodes * self.num_processes)
        for only in (rank_zero_only, utils_rank_zero_only):
            # as Lightning's own strategies tell its functions for rank 0
            setattr(only, "rank", self.global_rank)  # noqa: B010

    @override
    def _meet(self) -> None:
        assert self.cluster_environment is not None
        meet(
            self.cluster_environment,
            self._backend or dist.get_default_backend_for_device(self.root_device),
            num_nodes=self.num_nodes,
            name=name_of(self.global_rank),
            timeout=timedelta(seconds=self.timeout_s),
        )

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
        self._refuse_in_step("barrier")
        super().barrier(name)

    @override
    def broadcast(self, obj: Any, src: int = 0) -> Any:
        self._refuse_in_step("broadcast")
        return super().broadcast(obj, src)

    @override
    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """Gather over pipelines, as the two processes of a pipeline have the same values."""
        everyone = group is None or group is dist.group.WORLD
        return super().all_gather(tensor, self._groups.replicas if everyone else group, sync_grads)

    @override
    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        self._refuse_in_step("reduce_boolean_decision")
        return super().reduce_boolean_decision(decision, all)

    # the end

    @override
    def teardown(self) -> None:
        self._disconnect()
        if self.lightning_module is not None and is_sharded(self.lightning_module):
            end_in_place(self)
        else:
            super().teardown()
