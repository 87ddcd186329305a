"""The whole network in each process: Lightning's `ddp`, among processes that trust less.

Lightning's own listens on all addresses of the machine and sends pickled objects. This one takes
its place under all of its names, and differs in that alone: see `meeting.py` and `messages.py`.
"""

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch.distributed.constants import default_pg_timeout
from typing_extensions import override

from radenhance.compat.lightning import LaunchingStrategy
from radenhance.strategies.meeting import meet
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.secret import make_run_secret


class PeerStrategy(LaunchingStrategy):
    """A strategy whose processes share a secret, and send each other plain data and tensors."""

    @override
    def before_launch(self) -> None:
        make_run_secret()

    @override
    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the `obj` of one process: plain data, paths and tensors, and nothing else.

        Raises:
            UsageError: It is something else.
        """
        if not dist.is_initialized():
            return obj
        with self.watching():
            return PeerGroup.of_all(self.root_device).broadcast(obj, source=src)

    def watching(self) -> AbstractContextManager[None]:
        """Return the context of what waits for other processes."""
        return nullcontext()


class ReplicatedStrategy(PeerStrategy, DDPStrategy):
    """Data parallel: Lightning's DDPStrategy, on loopback where there is one machine.

    Args:
        process_group_backend: nccl or gloo, or null for the one that suits the device.
        timeout: Time after which a process that waits for others gives up.
    """

    def __init__(
        self,
        process_group_backend: str | None = None,
        timeout: timedelta = default_pg_timeout,
        **options: Any,
    ) -> None:
        super().__init__(process_group_backend=process_group_backend, timeout=timeout, **options)
        self.timeout = timeout

    @override
    def setup_distributed(self) -> None:
        """Meet the others; Lightning's own method then finds them connected."""
        self.set_world_ranks()
        device = self.root_device
        assert self.cluster_environment is not None
        meet(
            self.cluster_environment,
            self.process_group_backend or dist.get_default_backend_for_device(device),
            num_nodes=self.num_nodes,
            name=f"rank {self.global_rank}",
            timeout=self.timeout,
            device=None if device.type == "cpu" else device,
        )
        super().setup_distributed()


for registered, entry in list(StrategyRegistry.items()):
    if entry["strategy"] is DDPStrategy:
        StrategyRegistry.register(
            registered,
            ReplicatedStrategy,
            entry["description"],
            override=True,
            **entry["init_params"],
        )
