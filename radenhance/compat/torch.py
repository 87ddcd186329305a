"""What PyTorch has no public name for: fake tensors, dispatch modes, and what autograd keeps."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch import Tensor

# No public name: torch.export and torch.compile make fake tensors, and hand none out.
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensor,
    FakeTensorMode,
)
from torch.optim.lr_scheduler import LRScheduler

# No public name: TorchFunctionMode, which is public, does not see the operators of autograd.
# No public name for `is_traceable_wrapper_subclass` either: DTensor is one such tensor of tensors.
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

# No public name: the loader makes it, and hands it out as an iterator.
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter
from typing_extensions import override

__all__ = [
    "READ_NUMBER",
    "DataDependentOutputException",
    "FakeTensor",
    "FakeTensorMode",
    "QuickFakeTensorMode",
    "TorchDispatchMode",
    "batch_norm_parameter_gradients",
    "hush_unmade_loaders",
    "is_traceable_wrapper_subclass",
    "norms_of",
    "rates_of_course",
    "set_group_timeout",
    "saved_tensors_hooks_around",
    "set_rates",
    "tensors_in",
    "version_of",
]

READ_NUMBER = torch.ops.aten._local_scalar_dense.default
"""The operator behind `Tensor.item`, as dispatch modes see it; it has no other name."""


@cache
def _has_no_gpu() -> bool:
    return bool(FakeTensorMode().avoid_device_init)


class QuickFakeTensorMode(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Fake tensors, for which the machine is asked once whether it has a GPU.

    PyTorch asks at every operator whose result it does not know yet, and loads the driver's library
    each time: a tenth of the time of a plan.
    """

    @property
    @override
    def avoid_device_init(self) -> bool:
        """Whether there is no device beside the processor."""
        return _has_no_gpu()


Pack = Callable[[Tensor], Any]
Unpack = Callable[[Any], Tensor]


def set_group_timeout(group: Any, timeout: timedelta) -> None:
    """Set the time that later operations of a process group may take, other than its start.

    The public function is of PyTorch 2.15.
    """
    module = torch.distributed.distributed_c10d
    getattr(module, "set_timeout", module._set_pg_timeout)(timeout, group)


def version_of(tensor: Tensor) -> int:
    """Return how often the tensor's data has been written to in place.

    Autograd's own check of saved tensors compares it, and raises; none of its public functions
    gives the number.
    """
    return int(tensor._version)


def set_rates(scheduler: LRScheduler, rates: Sequence[float | Tensor]) -> None:
    """Let a schedule have other learning rates from now on, between two of its steps.

    Only its steps set what `get_last_lr` returns, which has no public setter.
    """
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = list(rates)


def rates_of_course(scheduler: Any, state: Mapping[str, Any]) -> list[float] | None:
    """Return the rates of a schedule at the step of a state, as if it had been made of that.

    Most schedules work out each rate from the last one, and what their options say of a step is
    private. None for schedules that do not say it.

    Args:
        scheduler: A schedule, as it was made.
        state: A state of its class.
    """
    if not hasattr(scheduler, "_get_closed_form_lr"):
        return None
    course = object.__new__(type(scheduler))
    vars(course).update(vars(scheduler) | dict(state))
    return [float(rate) for rate in course._get_closed_form_lr()]


def hush_unmade_loaders() -> None:
    """Print no traceback of a loader that could not start its workers, when it is collected.

    What kept it from that was raised; that its end then misses what its beginning did not get to is
    nothing that a user could do anything about. Python names only the method, which is private.
    """
    ends = _MultiProcessingDataLoaderIter.__del__
    former = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if unraisable.object is not ends:
            former(unraisable)

    if former is sys.__unraisablehook__:
        sys.unraisablehook = hook


def saved_tensors_hooks_around() -> tuple[Pack, Unpack]:
    """Return pack and unpack of the innermost `saved_tensors_hooks` that is entered.

    Outside of all, they return what they get. Autograd applies the innermost alone: hooks that
    leave most tensors to those around them must know these, and the public class tells only how to
    enter and to leave.
    """
    ignore_is_tracing = True
    around: Any = torch._C._autograd._top_saved_tensors_default_hooks(ignore_is_tracing)
    return (_unchanged, _unchanged) if around is None else (around[0], around[1])


def _unchanged(value: Any) -> Any:
    return value


def batch_norm_parameter_gradients(
    gradient: Tensor, features: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> Tensor:
    """Return the gradients of weight and bias of a BatchNorm with given statistics, shape (2, C).

    Args:
        gradient: Gradient of what is normalised, shape (N, C, H, W).
        features: What the BatchNorm got, of the same shape.
        weight: gamma, shape (C,).
        mean: Mean of each channel, shape (C,).
        variance: Biased variance of each channel, shape (C,).
        eps: Number that is added to the variance.
    """
    # On a CPU the operator takes running statistics, and on a GPU those of the forward pass.
    _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
        gradient, features, weight, mean, variance, mean, torch.rsqrt(variance + eps), False, eps,
        [False, True, True],
    )  # fmt: skip
    return torch.stack([of_weight, of_bias])


def norms_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the 2-norm of each tensor, as `torch.nn.utils.get_total_norm` computes it.

    That returns the norm of all of them alone. `torch.linalg.vector_norm` is another kernel, which
    may round otherwise on a GPU, and is started once per tensor.
    """
    return list(torch._foreach_norm(list(tensors)))


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors in what an operator takes or returns: tuples, lists and dicts of anything.

    `torch.utils._pytree` is not public, and knows more containers than operators use.
    """
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from tensors_in(part)
    elif isinstance(tree, dict):
        yield from tensors_in(list(tree.values()))
