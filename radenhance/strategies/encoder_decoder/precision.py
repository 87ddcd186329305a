"""Decisions about gradients that need both stages: their norm, and whether float16 overflowed."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.optim import Optimizer

from radenhance.compat.torch import norms_of
from radenhance.strategies.sharding import full_tensor


def norm_over_stages(
    parameters: Sequence[nn.Parameter], group: ProcessGroup, device: torch.device
) -> Tensor:
    """Return the 2-norm of the gradients of both stages, as one device computes it, bit for bit.

    `torch.nn.utils.get_total_norm` takes the norm of the vector of the tensors' norms. Each process
    fills in the entries of its own gradients, and adding the others' zeros is exact; a sum of
    squares would round in another order.

    Args:
        parameters: Of the whole network, in the same order on both sides; a gradient is where its
            stage is.
        group: The two processes.
        device: Of the result.
    """
    own = {i: p.grad for i, p in enumerate(parameters) if p.grad is not None}
    norms = torch.zeros(len(parameters), dtype=parameters[0].dtype, device=device)
    if own:
        norms[list(own)] = torch.stack([full_tensor(n) for n in norms_of(list(own.values()))])
    # an entry without gradient is 0, where one device has none: 0 changes no norm, but the order of
    # the summation, so that those are left out here too
    has_gradient = torch.zeros(len(parameters), dtype=torch.int32, device=device)
    has_gradient[list(own)] = 1
    dist.all_reduce(norms, group=group)
    dist.all_reduce(has_gradient, group=group)
    norm: Tensor = torch.linalg.vector_norm(norms[has_gradient > 0])
    return norm


def decide_together(
    plugin: Precision, group: ProcessGroup, device: torch.device, everyone: ProcessGroup | None
) -> None:
    """Make a precision plugin clip by the norm over both stages, and skip overflows on both.

    Args:
        plugin: Of the strategy.
        group: The two processes.
        device: Of this one.
        everyone: Who may see an overflow that others do not: the two, or with shares of gradients
            all processes.
    """

    def clip_grad_by_norm(optimizer: Optimizer, clip_val: float) -> None:
        parameters = list(plugin.main_params(optimizer))
        norm = norm_over_stages(parameters, group, device)
        own = [parameter for parameter in parameters if parameter.grad is not None]
        torch.nn.utils.clip_grads_with_norm_(own, clip_val, norm)

    vars(plugin)["clip_grad_by_norm"] = clip_grad_by_norm
    if isinstance(plugin, MixedPrecision) and plugin.scaler is not None:
        shared = ShardedGradScaler(device.type, process_group=everyone)
        shared.load_state_dict(plugin.scaler.state_dict())
        plugin.scaler = shared


def start_scaler(plugin: Precision, device: torch.device) -> None:
    """Let a process that never scales a loss, the encoder's, know the scale."""
    scaler = getattr(plugin, "scaler", None)
    if scaler is not None:
        scaler.scale(torch.ones((), device=device))
