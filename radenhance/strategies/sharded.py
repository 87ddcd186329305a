"""A whole network in each process, its parameters sharded over all of them (FSDP2).

Lightning's own `fsdp` is FSDP1, which needs a GPU and writes other checkpoints; its strategy for
FSDP2 expects the module to shard itself. This one is DDP in all else, works on CPUs too, and its
checkpoints are those of one device.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import StrategyRegistry
from torch import Tensor
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.optim import Optimizer
from typing_extensions import override

from radenhance.compat.fake_process_group import fake_processes
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.leaves import map_leaves
from radenhance.strategies.protocol import PartitionedStrategy, Passes, RehearsedRun
from radenhance.strategies.replicated import ReplicatedStrategy
from radenhance.strategies.sharding import (
    broadcast_from_first,
    end_in_place,
    full_on_cpu,
    full_tensor,
    full_weights,
    is_sharded,
    mesh_of,
    refuse_unsharded_techniques,
    shard,
    shard_state,
)
from radenhance.strategies.whole import WholePasses

FULLY_SHARDED = "fully_sharded"


class FullyShardedStrategy(PartitionedStrategy, ReplicatedStrategy):
    """Data parallel, with parameters, gradients and optimizer state sharded.

    Args:
        process_group_backend: nccl or gloo, or null for the one that suits the device.
    """

    strategy_name = FULLY_SHARDED

    def __init__(self, process_group_backend: str | None = None, **options: Any) -> None:
        super().__init__(process_group_backend=process_group_backend, **options)

    @override
    def setup(self, trainer: Trainer) -> None:
        refuse_unsharded_techniques(NetworkSplit(self._module).techniques)
        super().setup(trainer)
        plugin = self.precision_plugin
        if isinstance(plugin, MixedPrecision) and plugin.scaler is not None:
            shared = ShardedGradScaler(self.root_device.type, process_group=dist.group.WORLD)
            shared.load_state_dict(plugin.scaler.state_dict())
            plugin.scaler = shared

    @override
    def configure_ddp(self) -> None:
        """Shard the module instead of wrapping it."""
        module = self._module
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, 0)
        wanted = {id(parameter) for parameter in module.parameters()}
        assert dist.group.WORLD is not None
        mesh = mesh_of(dist.group.WORLD, self.root_device)
        shard(NetworkSplit(module).network, wanted, mesh)

    @property
    def _module(self) -> LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module

    @override
    def on_validation_start(self) -> None:
        """Make buffers equal, so that the network is validated that a checkpoint contains."""
        broadcast_from_first(self._module.buffers())

    @override
    def gradient_norm(self) -> Tensor:
        """Return the 2-norm of the gradient over all shards."""
        gradients = [p.grad for p in self._module.parameters() if p.grad is not None]
        return full_tensor(torch.nn.utils.get_total_norm(gradients))

    @override
    @contextmanager
    def rehearse(self, run: RehearsedRun, stage: str | None) -> Iterator[Passes]:
        """Yield the passes of a network whose parameters are sharded over all processes."""
        split = NetworkSplit(run.module)
        refuse_unsharded_techniques(split.techniques)
        with fake_processes(0, run.num_processes):
            assert dist.group.WORLD is not None
            mesh = mesh_of(dist.group.WORLD, torch.device("cpu"))
            with run.mode:
                shard(split.network, {id(p) for p in run.module.parameters()}, mesh)
            yield WholePasses(run.module, run.precision)

    @override
    def lightning_module_state_dict(self) -> dict[str, Any]:
        broadcast_from_first(self._module.buffers())
        return full_weights(super().lightning_module_state_dict())

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """Return the full state on the CPU."""
        own: dict[str, Any] = super().optimizer_state(optimizer)
        return {**own, "state": map_leaves(full_on_cpu, own["state"])}

    @override
    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load a full state, and keep this process's shards."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            shard_state(optimizer)

    @override
    def teardown(self) -> None:
        if is_sharded(self._module):
            end_in_place(self)
        else:
            super().teardown()


StrategyRegistry.register(
    FULLY_SHARDED, FullyShardedStrategy, description="data parallel with sharded parameters"
)
