"""A network by rows: its operators, as they are called, compute the rows of this process's share.

Modules stay as they are, and so do encoders of other libraries that call functions: within
`by_rows`, PyTorch asks here about each function that the network calls. There are three kinds:

    on each pixel alone     runs as it is: activations, sums, concatenation of channels
    over rows               runs by rows: convolutions, pooling, norms, means, upsampling
    any other               is refused by name: nobody knows whether it looks across rows

A map is known by its shape, which is that of the share at a stride. What is none, such as a weight
or the mean of each channel, is the same in all processes, and everything is allowed with it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from radenhance.compat.torch import tensors_in
from radenhance.errors import UsageError
from radenhance.rows.convolution import Geometry, Pair, convolve
from radenhance.rows.pooling import max_pool, upsample_bilinear
from radenhance.rows.share import RowShare
from radenhance.rows.statistics import batch_norm, group_norm, mean_of_maps

# fmt: off
OF_EACH_PIXEL = frozenset({
    "__add__", "__get__", "__iadd__", "__imul__", "__isub__", "__itruediv__", "__mul__", "__neg__",
    "__pow__", "__radd__", "__rmul__", "__rsub__", "__set__", "__sub__", "__truediv__", "abs",
    "add", "add_", "addcmul", "bfloat16", "bool", "celu", "clamp", "clamp_", "clip", "clone",
    "contiguous", "detach", "dim", "div", "div_", "double", "elu", "elu_", "empty_like", "eq",
    "exp", "expand_as", "fill_", "float", "floor", "fmod", "ge", "gelu", "gt", "half",
    "hardsigmoid", "hardswish", "hardswish_", "hardtanh", "hardtanh_", "int", "is_complex",
    "is_contiguous", "is_floating_point", "le", "leaky_relu", "leaky_relu_", "lerp", "log",
    "logical_not", "long", "lt", "masked_fill", "masked_fill_", "maximum", "minimum", "mish",
    "mish_", "mul", "mul_", "ne", "neg", "numel", "ones_like", "pow", "prelu", "relu", "relu6",
    "relu_", "remainder", "requires_grad_", "round", "rsqrt", "selu", "sigmoid", "sigmoid_", "sign",
    "silu", "silu_", "size", "softplus", "sqrt", "square", "sub", "sub_", "tanh", "tanh_", "to",
    "true_divide", "trunc", "type", "type_as", "where", "zero_", "zeros_like",
})
# fmt: on
"""Names of functions that compute each pixel of their output from the same pixel of their inputs,
or tell what a tensor is."""

TRANSPOSES = frozenset({"T", "H", "mT", "mH"})
"""Attributes that are not what a tensor is, but another one."""

OF_CHANNELS = {"cat": 1, "concat": 1, "chunk": 2, "split": 2, "tensor_split": 2}
"""Name -> place of the argument that says along which axis; the channels' does."""


class ByRows(TorchFunctionMode):
    """Computes what a network calls by rows.

    Args:
        share: Which rows of the image its maps have.
    """

    def __init__(self, share: RowShare) -> None:
        super().__init__()
        self.share = share
        self.is_paused = False

    @override
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a function, by rows where it has to do with a map."""
        kwargs = kwargs or {}
        if self.is_paused or not any(map(self.share.is_map, tensors_in((args, kwargs)))):
            return func(*args, **kwargs)
        name = func.__name__
        if _is_of_each_pixel(name, func, args, kwargs):
            return func(*args, **kwargs)
        by_rows = OVER_ROWS.get(name.lstrip("_"))
        if by_rows is None:
            raise not_by_rows(name)
        result = by_rows(self.share, *args, **kwargs)
        if not self.share.is_map(result) and tuple(result.shape[2:]) != (1, 1):
            raise not_by_rows(f"{name}, which gives {tuple(result.shape)},")
        return result


_CURRENT: ContextVar[ByRows | None] = ContextVar("operators by rows", default=None)


@contextmanager
def by_rows(share: RowShare) -> Iterator[None]:
    """Let a network compute the rows of this process's share.

    Args:
        share: Which rows of the image its input has.
    """
    operators = ByRows(share)
    before = _CURRENT.set(operators)
    try:
        with operators:
            yield
    finally:
        _CURRENT.reset(before)


@contextmanager
def by_hand() -> Iterator[RowShare | None]:
    """Leave functions as they are, for what computes by rows itself, which gets the share.

    The share is None where maps are whole, as those of what is compiled are.
    """
    # torch 2.11 compiles nothing that reads a context variable
    operators = None if torch.compiler.is_compiling() else _CURRENT.get()
    if operators is None:
        yield None
        return
    before, operators.is_paused = operators.is_paused, True
    try:
        yield operators.share
    finally:
        operators.is_paused = before


def again() -> Callable[[], AbstractContextManager[None]]:
    """Return what makes a context in which functions are computed as they are now.

    What runs a part of the network again in the backward pass needs it.
    """
    operators = _CURRENT.get()
    return nullcontext if operators is None else lambda: by_rows(operators.share)


def not_by_rows(what: str) -> UsageError:
    """Return the error of a function that cannot be computed by rows."""
    return UsageError(
        f"the strategy rows does not know how to compute {what} of a map of which each process has "
        f"some rows; use another encoder, such as resnet34, or another strategy"
    )


def _is_of_each_pixel(name: str, func: Any, args: tuple[Any, ...], kwargs: Any) -> bool:
    if name == "__get__":
        return getattr(func.__self__, "__name__", "") not in TRANSPOSES
    if name == "__getitem__":
        return _keeps_pixels(args[1])
    if name in OF_CHANNELS:
        place = OF_CHANNELS[name]
        dim = kwargs.get("dim", args[place] if len(args) > place else 0)
        return dim in (1, -3)
    if name in ("dropout", "dropout2d", "feature_dropout"):
        p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
        return not kwargs.get("training", args[2] if len(args) > 2 else True) or p == 0
    if name == "batch_norm":
        return not kwargs.get("training", args[5] if len(args) > 5 else False)
    return name in OF_EACH_PIXEL


def _keeps_pixels(index: Any) -> bool:
    """Return whether an index takes images or channels, and all of their pixels."""
    index = index if isinstance(index, tuple) else (index,)
    axes = [axis for axis in index if axis is not Ellipsis]
    whole = all(axis == slice(None) for axis in axes[2:])
    return len(axes) == len(index) <= 4 and whole and all(isinstance(one, slice) for one in axes)


def _conv2d(
    share: RowShare,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    kernel, dilation = _pair(weight.shape[2:]), _pair(dilation)
    if padding == "same":
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        if any(span % 2 for span in spans):
            raise not_by_rows('conv2d with an even kernel and padding "same"')
        padding = [span // 2 for span in spans]
    padding = _pair(0 if padding == "valid" else padding)
    geometry = Geometry(kernel, _pair(stride), padding, dilation, groups)
    return convolve(share, input, weight, bias, geometry)


def _conv_transpose2d(  # noqa: PLR0913
    share: RowShare,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    geometry = Geometry(
        *(_pair(weight.shape[2:]), _pair(stride), _pair(padding), _pair(dilation), groups),
        transposed=True,
        output_padding=_pair(output_padding),
    )
    return convolve(share, input, weight, bias, geometry)


def _max_pool2d(
    share: RowShare,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    if return_indices:
        raise not_by_rows("max_pool2d with indices")
    kernel = _pair(kernel_size)
    steps = kernel if stride is None or stride == [] else _pair(stride)
    window = (kernel, steps, _pair(padding), _pair(dilation))
    return max_pool(share, input, *window, ceil_mode=ceil_mode)


def _avg_pool2d(
    share: RowShare,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *options: Any,
    **named: Any,
) -> Tensor:
    kernel = _pair(kernel_size)
    steps = kernel if stride is None or stride == [] else _pair(stride)
    if steps != kernel or _pair(padding) != (0, 0) or input.shape[2] % kernel[0]:
        raise not_by_rows("avg_pool2d of windows that overlap")
    return F.avg_pool2d(input, kernel, steps, 0, *options, **named)


def _adaptive_avg_pool2d(share: RowShare, input: Tensor, output_size: Any) -> Tensor:
    if _pair(output_size) != (1, 1):
        raise not_by_rows(f"adaptive_avg_pool2d to {output_size}")
    return mean_of_maps(share, input)


def _mean(
    share: RowShare,
    input: Tensor,
    *axes: Any,
    dim: Any = None,
    keepdim: bool = False,
    **named: Any,
) -> Tensor:
    positional = list(axes)
    dim = positional.pop(0) if positional else dim
    keepdim = positional.pop(0) if positional else keepdim
    over = None if dim is None else sorted(axis % 4 for axis in _tuple(dim))
    if over == [1] and not named:  # of the channels of each pixel
        return input.mean(1, keepdim=True) if keepdim else _refuse_mean(dim)
    if over != [2, 3] or named:
        return _refuse_mean(dim)
    means = mean_of_maps(share, input)
    return means if keepdim else means[:, :, 0, 0]


def _refuse_mean(dim: Any) -> Tensor:
    raise not_by_rows(f"mean over {dim}")


def _batch_norm(  # noqa: PLR0913
    share: RowShare,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    running = running_mean, running_var
    return batch_norm(share, input, running, weight, bias, momentum, eps)


def _group_norm(
    share: RowShare,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return group_norm(share, input, num_groups, weight, bias, eps)


def _interpolate(
    share: RowShare,
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    **named: Any,
) -> Tensor:
    sides = input.shape[2:]
    if size is None:
        factors = _pair(scale_factor)
        size = [int(side * factor) for side, factor in zip(sides, factors, strict=True)]
    rows, columns = _pair(size)
    whole = rows % sides[0] == 0 and columns % sides[1] == 0
    if whole and mode in ("nearest", "nearest-exact"):
        return F.interpolate(input, (rows, columns), mode=mode)
    if whole and mode == "bilinear" and not align_corners:
        return upsample_bilinear(share, input, (rows, columns))
    raise not_by_rows(f"interpolate to {rows} x {columns} with mode {mode}")


OVER_ROWS: dict[str, Callable[..., Tensor]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "mean": _mean,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "interpolate": _interpolate,
}
"""Name of a function -> the same by rows."""


def _pair(value: Any) -> Pair:
    first, second = (value, value) if not isinstance(value, list | tuple) else _two(value)
    return first, second


def _two(value: Any) -> tuple[Any, Any]:
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
