"""Decoder stages that neither upsample nor concatenate: the same convolution, of smaller maps.

A decoder stage of a U-Net convolves the upsampled small map beside the skip, which is two maps:

    conv(concat(up(x), s), [A | B])  =  conv(up(x), A) + conv(s, B)  =  deconv(x, A') + conv(s, B)

Upsampling by two to the nearest neighbour and then convolving is one transposed convolution of the
small map (`banding/convolution.py`), with 4 multiplications for 9. The upsampled map and the
concatenation, and their gradients, are never made; that is algebra on the weights, exact but for
rounding, zeros beyond the edges included. What autograd keeps are the small map and the skip, which
are there anyway; the kernel, which is larger than the weights, is summed again.

It costs nothing and is on unless it is turned off. Stages that are something else stay as they are:
those in bands do the same by themselves; a quantized network convolves the codes that int8
inference will, keeps the codes of small map and skip alone as it is, and a sum of weights is no
code; sharded parameters are gathered for whole modules only.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.fsdp import FSDPModule
from typing_extensions import override

from radenhance.memory.banding.convolution import (
    compute_dtype,
    upsampling_kernel,
    upsampling_kernel_transposed,
)
from radenhance.memory.technique import Technique
from radenhance.network.stages import Sequential, Stage, Unit, Upsampling, is_plain
from radenhance.rows.operators import by_hand


@dataclass(frozen=True)
class FusedUpsampling(Technique):
    """Upsample and convolve in one, and convolve the skip by itself.

    Args:
        is_wanted: Whether to do so where a stage allows it.
    """

    is_wanted: bool = True

    parameter: ClassVar[str] = "MemoryTechniques.fused_upsampling"
    reorders_sums: ClassVar[bool] = True
    examples: ClassVar = ({"fused_upsampling": True},)

    @property
    @override
    def is_on(self) -> bool:
        return self.is_wanted

    @override
    def running(self, stages: list[Stage]) -> list[Stage]:
        """Return the stages with those of the decoder fused, where they can be."""
        return [_fused(stage) for stage in stages]


@dataclass(frozen=True)
class UpsampledConvolution:
    """A convolution of an upsampled map beside a skip, by the transposed one of the small map.

    Args:
        convolution: A 3x3 convolution that pads with one row of zeros.
    """

    convolution: nn.Conv2d

    def __call__(self, features: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return a map of shape (N, O, 2H, 2W).

        Args:
            features: Shape (N, C, H, W).
            skip: Shape (N, S, 2H, 2W), if the stage has one.
        """
        weight, bias = self.convolution.weight, self.convolution.bias
        num_small = features.shape[1]
        small = weight[:, :num_small]
        with by_hand() as share:  # of weights, which are no map
            kernel = None if share is None else upsampling_kernel(small)
        if kernel is not None:
            result = F.conv_transpose2d(features, kernel, bias, stride=2, padding=1)
        else:
            dtype = compute_dtype(features, weight)
            bias = None if bias is None else bias.to(dtype)
            result = _Upsampled.apply(features.to(dtype), small, bias)
        # some encoders have no map of this size and give one of no channels
        if skip is not None and skip.shape[1]:
            result += F.conv2d(skip, weight[:, num_small:], padding=1)
        return result


class _Upsampled(torch.autograd.Function):
    """The convolution of an upsampled map, which makes its kernel again in the backward pass."""

    @staticmethod
    @override
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        kernel = upsampling_kernel(weight).to(features.dtype)
        return F.conv_transpose2d(features, kernel, bias, stride=2, padding=1)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        kernel = upsampling_kernel(weight).to(features.dtype)
        of_features, of_kernel, of_bias = torch.ops.aten.convolution_backward(
            gradients[0], features, kernel, ctx.bias_sizes, [2, 2], [1, 1], [1, 1], True, [0, 0], 1,
            list(ctx.needs_input_grad),
        )  # fmt: skip
        del kernel
        if of_kernel is not None:
            of_kernel = upsampling_kernel_transposed(of_kernel.to(weight.dtype))
        return of_features, of_kernel, of_bias


def _fused(stage: Stage) -> Stage:
    """Return a stage of which the first unit is fused, or as it is."""
    first, *others = stage.units
    module = first.modules[0]
    if first.before != Upsampling("nearest") or not isinstance(module, nn.Sequential):
        return stage
    convolution, *rest = module
    if type(convolution) is not nn.Conv2d or not is_plain(convolution):
        return stage
    if isinstance(module, FSDPModule):  # its parameters are whole only while it is called itself
        return stage
    fused = Sequential((UpsampledConvolution(convolution), *rest))
    return replace(stage, units=(Unit(fused, first.modules), *others))
