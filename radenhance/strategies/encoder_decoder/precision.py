"""Decisions about gradients that need both stages: their norm, and whether float16 overflowed.

A stage that clipped by the norm of its own gradients, or skipped a step because only they
overflowed, would leave the network that one device trains.
"""

from collections.abc import Callable, Sequence, Set

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
    parameters: Sequence[nn.Parameter],
    group: ProcessGroup,
    device: torch.device,
    left_out: Set[int] = frozenset(),
) -> Tensor:
    """Return the 2-norm of the gradients of both stages, as one device computes it, bit for bit.

    `torch.nn.utils.get_total_norm` takes the norm of the vector of the tensors' norms. Each process
    fills in the entries of its own gradients, and adding the others' zeros is exact; a sum of
    squares would round in another order.

    Args:
        parameters: Parameters of the whole network, in the same order in both processes; only the
            stage that runs here has gradients.
        group: The two processes of the pipeline.
        device: Device of the result.
        left_out: Ids of parameters whose gradients the other process has, too.
    """
    own = {
        i: parameter.grad
        for i, parameter in enumerate(parameters)
        if parameter.grad is not None and id(parameter) not in left_out
    }
    norms = torch.zeros(len(parameters), dtype=parameters[0].dtype, device=device)
    if own:
        norms[list(own)] = torch.stack([full_tensor(n) for n in norms_of(list(own.values()))])
    # one device has no entry for a parameter without gradient: a 0 in its place would change the
    # order of summation
    has_gradient = torch.zeros(len(parameters), dtype=torch.int32, device=device)
    has_gradient[list(own)] = 1
    dist.all_reduce(norms, group=group)
    dist.all_reduce(has_gradient, group=group)
    norm: Tensor = torch.linalg.vector_norm(norms[has_gradient > 0])
    return norm


def decide_together(
    plugin: Precision,
    group: ProcessGroup,
    device: torch.device,
    everyone: ProcessGroup | None,
    left_out: Callable[[], Set[int]] = frozenset,
) -> None:
    """Make a precision plugin clip by the norm over both stages, and skip overflows on both.

    Args:
        plugin: The strategy's precision plugin.
        group: The two processes of the pipeline.
        device: This process's device.
        everyone: The processes that decide on overflows: the two, or all where gradients are
            sharded.
        left_out: Function that returns the ids of parameters that the other process counts.
    """

    def clip_grad_by_norm(optimizer: Optimizer, clip_val: float) -> None:
        parameters = list(plugin.main_params(optimizer))
        norm = norm_over_stages(parameters, group, device, left_out())
        own = [parameter for parameter in parameters if parameter.grad is not None]
        torch.nn.utils.clip_grads_with_norm_(own, clip_val, norm)

    # Lightning asks the plugin alone, whose class the user's precision has chosen, and gives a
    # strategy no hook for it: the function hides the class's method on this one object.
    vars(plugin)["clip_grad_by_norm"] = clip_grad_by_norm
    if isinstance(plugin, MixedPrecision) and plugin.scaler is not None:
        shared = ShardedGradScaler(device.type, process_group=everyone)
        shared.load_state_dict(plugin.scaler.state_dict())
        plugin.scaler = shared
