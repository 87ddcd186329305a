"""Parameters, gradients and optimizer state sharded over replicas, by PyTorch's FSDP2.

A part of the network (a residual block; a convolution with its BatchNorm) is gathered from all
replicas before it runs, and released afterwards. The mean of its gradients over the replicas is
scattered, so that each has its own shard:

                  what each of n replicas keeps of p parameters, with Adam
    replicated    p weights + p gradients + 2p moments
    sharded       1/n of that, and the part that runs
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques


def refuse_unsharded_techniques(techniques: MemoryTechniques) -> None:
    """Refuse techniques that read parameters past the modules that would gather them.

    Raises:
        UsageError: The message names the technique.
    """
    for name, is_on in (
        ("band_rows", techniques.band_rows != 0),
        ("momentum", techniques.momentum is not None),
        ("quantization", techniques.quantization != "none"),
        ("compile", techniques.compile != "none"),
    ):
        if is_on:
            raise UsageError(
                f"MemoryTechniques.{name} does not go with sharded parameters, which are gathered "
                f"for whole layers only; leave out one of the two. MemoryTechniques.checkpointing, "
                f"MemoryTechniques.offload_mib and Trainer.precision go with sharding"
            )


def mesh_of(group: ProcessGroup, device: torch.device) -> DeviceMesh:
    """Return the devices that parameters are sharded over.

    Args:
        group: The replicas, which have the same weights.
        device: The replicas' device.
    """
    return DeviceMesh.from_group(group, device.type, mesh_dim_names=("replica",))


def shard(unet: nn.Module, wanted: set[int], mesh: DeviceMesh) -> None:
    """Shard the parameters of a network's parts, but for parts that are sharded already.

    Args:
        unet: Network whose wanted parameters are on the mesh's devices.
        wanted: Ids of the parameters to shard; parts with other parameters stay as they are.
        mesh: What `mesh_of` returned.
    """
    for part in _parts(unet):
        here = all(id(parameter) in wanted for parameter in part.parameters())
        if here and not isinstance(part, FSDPModule):
            fully_shard(part, mesh=mesh, reshard_after_forward=True)


def is_sharded(module: nn.Module) -> bool:
    """Return whether any part of `module` is sharded."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def local_tensor(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor, which shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard_like(full: Tensor, tensor: Tensor) -> Tensor:
    """Return a full tensor sharded as another one is; as it is where the other one is whole.

    Args:
        full: Equal in all replicas, of the shape that the other one has as a whole.
        tensor: A parameter or its state.
    """
    if not isinstance(tensor, DTensor):
        return full
    here, mesh = full.to(tensor.device), tensor.device_mesh
    return distribute_tensor(here, mesh, tensor.placements, src_data_rank=None)


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor; where it is sharded, all replicas must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_on_cpu(leaf: Any) -> Any:
    """Return the full tensor on the CPU, and anything but a tensor as it is."""
    return full_tensor(leaf).cpu() if isinstance(leaf, Tensor) else leaf


def full_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's state with its sharded tensors gathered on the CPU."""
    return {
        name: full_on_cpu(tensor) if isinstance(tensor, DTensor) else tensor
        for name, tensor in state.items()
    }


def shard_state(optimizer: Optimizer) -> None:
    """Reduce a full state to this process's shards, where parameters are sharded."""
    for parameter, state in optimizer.state.items():
        if isinstance(parameter, DTensor):
            optimizer.state[parameter] = _like(parameter, state)


def broadcast_from_first(buffers: Iterable[Tensor], group: ProcessGroup | None = None) -> None:
    """Broadcast the first process's buffers, which are BatchNorm's statistics, as DDP does.

    In training they differ, as each process has the statistics of its own images.

    Args:
        buffers: Buffers in the same order in all processes.
        group: The processes, or None for all.
    """
    for buffer in buffers:
        dist.broadcast(buffer, group_src=0, group=group)


def end_in_place(strategy: ParallelStrategy) -> None:
    """End a strategy without moving its module to the CPU, as Lightning's own for FSDP does."""
    assert strategy.cluster_environment is not None
    assert strategy.accelerator is not None
    strategy.cluster_environment.teardown()
    strategy.precision_plugin.teardown()
    strategy.accelerator.teardown()
    strategy.checkpoint_io.teardown()


def _parts(unet: nn.Module) -> list[nn.Module]:
    units = [unit for stage in MemoryTechniques().stages_of(unet) for unit in stage.units]
    modules = [module for unit in units for module in unit.modules]
    return [module for module in modules if next(module.parameters(), None) is not None]


def _like(parameter: DTensor, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: shard_like(value, parameter)
        if isinstance(value, Tensor) and value.shape == parameter.shape
        else value
        for name, value in state.items()
    }
