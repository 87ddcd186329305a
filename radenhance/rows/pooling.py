"""Maxima of windows of rows, and upsampling, for which a share needs rows of its neighbours."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.rows.halo import Halo, extended, own_gradient
from radenhance.rows.share import RowShare

Pair = tuple[int, int]


def max_pool(
    share: RowShare,
    features: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    *,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the rows that max-pooling gives of this process's share, shape (N, C, H', W').

    Args:
        share: Which rows of the image they are.
        features: Shape (N, C, H, W).
        kernel: Rows and columns of a window.
        stride: Stride.
        padding: Padding with values that are less than any other.
        dilation: Dilation.
        ceil_mode: Whether windows may reach over the last column.
    """
    last = dilation[0] * (kernel[0] - 1)
    halo = share.halo_of(features, padding[0], max(0, last + 1 - stride[0] - padding[0]))
    window = (list(kernel), list(stride), [0, padding[1]], list(dilation), ceil_mode)
    result: Tensor = _MaxPool.apply(features, halo, window)
    return result


class _MaxPool(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, rows: Tensor, halo: Halo, window: tuple[Any, ...]) -> Tensor:
        above, below = halo.fetch(rows)()
        pads = (halo.above - halo.num_above, halo.below - halo.num_below)
        edges = [
            rows.new_full((*rows.shape[:2], num, rows.shape[3]), float("-inf")) for num in pads
        ]
        joined = torch.cat([edges[0], above, rows, below, edges[1]], dim=2)
        result, places = torch.ops.aten.max_pool2d_with_indices(joined, *window)
        ctx.save_for_backward(places)
        ctx.halo, ctx.window, ctx.shape, ctx.pads = halo, window, joined.shape, pads
        assert isinstance(result, Tensor)
        return result

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        shape, (above, below) = ctx.shape, ctx.pads
        like = gradients[0].new_empty(shape)  # its shape is asked for, and no value
        of_joined = torch.ops.aten.max_pool2d_with_indices_backward(
            gradients[0], like, *ctx.window, places
        )
        inside = of_joined[:, :, above : shape[2] - below]
        return own_gradient(inside, ctx.halo), None, None


def upsample_bilinear(share: RowShare, features: Tensor, size: Pair) -> Tensor:
    """Return the rows that a bilinear upsampling gives of this process's share.

    Args:
        share: Which rows of the image they are.
        features: Shape (N, C, H, W).
        size: Rows and columns of the result, whole multiples of H and W.
    """
    halo = share.halo_of(features, 1, 1)
    above, below = 1 - halo.num_above, 1 - halo.num_below
    rows = F.pad(extended(features, halo), (0, 0, above, below), mode="replicate")
    factor = size[0] // features.shape[2]
    larger = F.interpolate(rows, (factor * rows.shape[2], size[1]), mode="bilinear")
    return larger[:, :, factor : factor + size[0]]
