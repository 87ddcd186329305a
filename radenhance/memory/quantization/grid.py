"""Tensors whose values lie on a grid of 256 levels, computed with in float and kept in a byte.

Quantization-aware training rounds an activation x to what int8 inference will see of it, and
computes with the result in float:

    code  = clamp(round(x / scale) + zero_point, 0, 255)        (ONNX QuantizeLinear)
    value = (code - zero_point) * scale                         (ONNX DequantizeLinear)

Its gradient is that of the clamp (Bengio et al., arXiv:1308.3432: straight through the rounding).
The value is a function of the code, so wherever autograd would keep the value for the backward
pass, `keep_codes` keeps the code, a fourth of float32, and gives back the very same floats. Which
tensors these are is written on their storage, the one thing that a tensor shares with what autograd
keeps of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from radenhance.compat.torch import saved_tensors_hooks_around, version_of
from radenhance.network.stages import Part

LEVELS = 256
SMALLEST_SCALE = 2.0**-23


@dataclass(frozen=True)
class Grid:
    """The values (code - zero_point) * scale.

    Args:
        scale: The positive distance of two levels, a scalar or one that broadcasts to the values.
        zero_point: The code of 0: a whole number, as a float.
    """

    scale: Tensor
    zero_point: Tensor

    @staticmethod
    def of_range(low: Tensor, high: Tensor) -> "Grid":
        """Return the grid of 256 levels from `low` to `high` that has 0 on it."""
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale = ((high - low) / (LEVELS - 1)).clamp(min=SMALLEST_SCALE)
        return Grid(scale, (-low / scale).round())

    def decode(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the values of codes, computed in float32 at least."""
        exact = codes.to(torch.promote_types(dtype, torch.float32))
        return exact.sub_(self.zero_point).mul_(self.scale).to(dtype)


def quantize_(values: Tensor, grid: Grid, *, relu: bool = False) -> Tensor:
    """Round `values` to a grid, in place and in their dtype; they are kept for backward as codes.

    Args:
        values: Values of any shape.
        grid: The grid, whose zero point is 0 where `relu`.
        relu: Whether their ReLU is to be rounded.
    """
    result, codes = _Quantize.apply(values, grid, relu)
    dtype = values.dtype  # the values themselves must not live in what restores
    keep_as(result, lambda: grid.decode(codes, dtype))
    return result  # type: ignore[no-any-return]


def quantized_weights(weight: Tensor) -> Tensor:
    """Return the weights of a convolution on the symmetric grids of int8, one per output channel.

    The largest weight of a channel is 127 steps: nothing is clamped, and the gradient is 1. A
    factor on a channel changes its step and none of its codes, so that BatchNorm may be folded into
    the weights afterwards without rounding them anew.
    """
    with torch.no_grad():
        scale = weight_scale(weight)
        codes = (weight / scale).round_().to(torch.int8)
    result = _ThroughRounding.apply(weight, codes, scale)
    keep_as(result, lambda: codes.to(weight.dtype) * scale)
    return result  # type: ignore[no-any-return]


def weight_scale(weight: Tensor) -> Tensor:
    """Return the step of each output channel, shape (C, 1, 1, 1)."""
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    return (largest / (LEVELS // 2 - 1)).clamp(min=SMALLEST_SCALE)


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Grid, relu: bool) -> tuple[Tensor, Tensor]:
        inside = values > 0 if relu else None
        exact = values.to(torch.promote_types(values.dtype, torch.float32))
        levels = exact.div_(grid.scale).round_().add_(grid.zero_point)
        inside = levels >= 0 if inside is None else inside
        inside &= levels < LEVELS
        ctx.save_for_backward(pack_bits(inside))
        codes = levels.clamp_(0, LEVELS - 1).to(torch.uint8)
        # from the float levels: not a number stays so, and is noticed in the loss
        levels.sub_(grid.zero_point).mul_(grid.scale)
        if levels is not values:
            values.copy_(levels)
        ctx.mark_dirty(values)
        ctx.mark_non_differentiable(codes)
        return values, codes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor, None, None]:
        (bits,) = ctx.saved_tensors
        return gradient.masked_fill(~unpack_bits(bits, gradient.shape), 0), None, None


class _ThroughRounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
        return codes.to(weight.dtype) * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


def pack_bits(flags: Tensor) -> Tensor:
    """Return flags, any shape, as uint8 with eight of them in each."""
    flat = flags.flatten().view(torch.uint8)
    eighths = torch.nn.functional.pad(flat, (0, -len(flat) % 8)).view(8, -1)
    packed = eighths[0].clone()
    for bit in range(1, 8):
        packed |= eighths[bit] << bit
    return packed


def unpack_bits(packed: Tensor, shape: torch.Size) -> Tensor:
    """Return the flags, of `shape`."""
    eighths = packed.new_empty(8, len(packed))
    for bit in range(8):
        torch.bitwise_and(packed >> bit, 1, out=eighths[bit])
    return eighths.view(torch.bool).flatten()[: shape.numel()].view(shape)


@dataclass(frozen=True)
class _Kept:
    """How a tensor is made again, and what tells it from views of it and from changes to it."""

    restore: Callable[[], Tensor]
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    version: int

    def describes(self, tensor: Tensor) -> bool:
        return (
            (self.shape, self.stride) == (tensor.shape, tensor.stride())
            and (self.dtype, self.version) == (tensor.dtype, version_of(tensor))
            and int(tensor.storage_offset()) == 0
        )


def keep_as(tensor: Tensor, restore: Callable[[], Tensor]) -> None:
    """Let `keep_codes` keep what `restore` holds in place of `tensor`.

    Args:
        tensor: A tensor with a storage of its own.
        restore: A function that makes it again, bit for bit; it must not hold the tensor itself.
    """
    if not torch.is_grad_enabled():
        return
    kept = _Kept(restore, tensor.shape, tensor.stride(), tensor.dtype, version_of(tensor))
    tensor.untyped_storage()._radenhance_kept = kept  # type: ignore[attr-defined]


def rearranged(function: Part, *tensors: Tensor) -> Tensor:
    """Return `function(*tensors)`; kept as they are kept, and made again from them.

    Args:
        function: A function that rearranges values and changes none, such as pooling or
            concatenation.
        tensors: The inputs of the function.
    """
    result = function(*tensors)
    assert isinstance(result, Tensor)
    sources = [_kept_as(tensor) for tensor in tensors]
    if all(sources):
        dtype = result.dtype  # the backward pass is outside autocast, which may have changed it

        def restore() -> Tensor:
            again = function(*(source() for source in sources if source))
            assert isinstance(again, Tensor)
            return again.to(dtype)

        keep_as(result, restore)
    return result


def _kept_as(tensor: Tensor) -> Callable[[], Tensor] | None:
    kept = getattr(tensor.untyped_storage(), "_radenhance_kept", None)
    return kept.restore if kept is not None and kept.describes(tensor) else None


def keep_codes() -> saved_tensors_hooks:
    """Return the context in which autograd keeps codes of the tensors that have them.

    All other tensors are kept as the context around it keeps them, which autograd would forget.
    """
    pack_other, unpack_other = saved_tensors_hooks_around()

    def pack(tensor: Tensor) -> _Codes | Any:
        restore = _kept_as(tensor)
        return pack_other(tensor) if restore is None else _Codes(restore)

    def unpack(packed: _Codes | Any) -> Tensor:
        result: Tensor = packed.restore() if isinstance(packed, _Codes) else unpack_other(packed)
        return result

    return saved_tensors_hooks(pack, unpack)


@dataclass(frozen=True)
class _Codes:
    restore: Callable[[], Tensor]
