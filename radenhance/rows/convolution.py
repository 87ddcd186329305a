"""Convolutions of rows, transposed ones too: each process computes the output's rows of its share.

A window that reaches over the edge of a share needs rows of the neighbours, and nothing else of a
convolution changes: rows beyond the image's edge are zeros, as its padding is. Autograd keeps the
share and the halo apart, so that the share is not kept a second time beside the layer before it.

    share of many rows    the halo's contribution, which is linear, is computed by itself and added:
                          messages travel while the share is convolved, and nothing is copied
    share of few rows     share and halo are put together, as the halo's contribution by itself
                          would take as long as the share's
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.errors import UsageError
from radenhance.rows.halo import Halo, own_gradient
from radenhance.rows.share import RowShare

Pair = tuple[int, int]

MANY_ROWS = 48
"""Rows of a share from which on its halo is convolved by itself."""


@dataclass(frozen=True)
class Geometry:
    """Where the windows of a convolution are; pairs are of rows and columns.

    Args:
        kernel: Size of the kernel.
        stride: Stride.
        padding: Padding.
        dilation: Dilation.
        groups: Groups of channels.
        transposed: Whether it is a transposed convolution.
        output_padding: Output padding of a transposed one.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    transposed: bool = False
    output_padding: Pair = (0, 0)

    @property
    def reach(self) -> Pair:
        """Rows that are needed above and below a share."""
        last, stride, padding = self._last_tap, self.stride[0], self.padding[0]
        if self.transposed:
            return max(0, (last - padding) // stride), (padding + stride - 1) // stride
        return padding, max(0, last + 1 - stride - padding)

    def keeps_rows(self, num_rows: int) -> bool:
        """Return whether the whole image gives as many rows as its shares do."""
        last, stride, padding = self._last_tap, self.stride[0], self.padding[0]
        if self.transposed:
            return last + 1 + self.output_padding[0] - 2 * padding == stride
        return (num_rows + 2 * padding - last - 1) // stride + 1 == num_rows // stride

    def edges(self, num_rows: int) -> tuple["Edge", "Edge"]:
        """Return where the rows above and below a share contribute to its output."""
        above, stride, padding = self.reach[0], self.stride[0], self.padding[0]
        last = self._last_tap
        if self.transposed:
            num_out = num_rows * stride
            return (
                Edge(0, 0, above * stride + padding, slice(0, last + 1 - stride - padding)),
                Edge(0, 0, 0, slice(num_out - padding, num_out)),
            )
        num_out, num_first = num_rows // stride, -(-padding // stride)
        height = (num_first - 1) * stride + last + 1
        first = -(-(num_rows + padding - last) // stride)
        inside = num_rows - (first * stride - padding)
        return (
            Edge(0, max(0, height - above), 0, slice(0, num_first)),
            Edge(inside, 0, 0, slice(first, num_out)),
        )

    def joined_padding(self) -> tuple[int, int, int]:
        """Return the padding with which share and halo are convolved, and rows to leave out.

        These are rows of the output above and below that of the share.
        """
        (above, below), stride, padding = self.reach, self.stride[0], self.padding[0]
        if not self.transposed:
            return 0, 0, 0
        before = above * stride + padding
        after = (below - 1) * stride + self._last_tap + 1 - padding + self.output_padding[0]
        both = min(before, after)
        return both, before - both, after - both

    def run(self, rows: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        """Return the convolution of some rows with a padding of rows."""
        result: Tensor = torch.ops.aten.convolution(rows, weight, bias, *self._options(padding))
        return result

    def gradients(
        self, gradient: Tensor, rows: Tensor, weight: Tensor, padding: int, wanted: list[bool]
    ) -> Any:
        """Return the gradients of rows, weight and bias of `run`."""
        num_out = weight.shape[1] * self.groups if self.transposed else weight.shape[0]
        return torch.ops.aten.convolution_backward(
            gradient, rows, weight, [num_out], *self._options(padding), wanted
        )

    @property
    def _last_tap(self) -> int:
        return self.dilation[0] * (self.kernel[0] - 1)

    def _options(self, padding: int) -> tuple[Any, ...]:
        return (
            *(list(self.stride), [padding, self.padding[1]], list(self.dilation)),
            *(self.transposed, list(self.output_padding), self.groups),
        )


@dataclass(frozen=True)
class Edge:
    """How rows beside a share contribute to its output, and to which rows of that.

    Args:
        before: Rows of zeros to put above them, in place of rows of the share.
        after: Rows of zeros to put below them.
        start: First row of their convolution that is in the share's output.
        out: Rows of the output to which that is added.
    """

    before: int
    after: int
    start: int
    out: slice

    def padded(self, halo: Tensor) -> Tensor:
        """Return the rows with the zeros."""
        return F.pad(halo, (0, 0, self.before, self.after))

    def within(self, result: Tensor) -> Tensor:
        """Return what of their convolution is in the share's output."""
        return result.narrow(2, self.start, self.out.stop - self.out.start)


def convolve(
    share: RowShare, features: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """Return the rows that a convolution gives of this process's share.

    Args:
        share: Which rows of the image they are.
        features: Shape (N, C, H, W).
        weight: Weight.
        bias: Bias, if there is one.
        geometry: Where the windows are.

    Raises:
        UsageError: The output has no row for each step of the stride.
    """
    halo = share.halo_of(features, *geometry.reach)
    if not geometry.keeps_rows(halo.bounds[-1]):
        raise UsageError(
            f"the strategy rows cannot divide a convolution of kernel {geometry.kernel}, stride "
            f"{geometry.stride} and padding {geometry.padding}, whose output has other rows; use "
            f"another encoder, such as resnet34"
        )
    device = features.device.type
    if torch.is_autocast_enabled(device) and features.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
        features, weight = features.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    with torch.autocast(device, enabled=False):
        result: Tensor = _Convolution.apply(features, weight, bias, geometry, halo)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    @override
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, halo: Halo
    ) -> Tensor:
        wait = halo.fetch(rows)
        if not _is_apart(rows, halo):
            above, below = wait()
            padding, start, after = geometry.joined_padding()
            result = geometry.run(_joined(rows, above, below, halo), weight, bias, padding)
            if start or after:  # a view may not be written to
                result = result[:, :, start : result.shape[2] - after].clone()
        else:
            result = geometry.run(rows, weight, bias, geometry.padding[0])
            above, below = wait()
            for edge, part in _edges(geometry, rows, above, below):
                added = geometry.run(edge.padded(part), weight, None, 0)
                result[:, :, edge.out] += edge.within(added)
        ctx.save_for_backward(rows, weight, above, below)
        ctx.geometry, ctx.halo, ctx.has_bias = geometry, halo, bias is not None
        return result

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # which checkpointing gives once
        run = _backward_apart if _is_apart(saved[0], ctx.halo) else _backward_joined
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias]
        result = run(ctx.geometry, ctx.halo, saved, gradients[0].contiguous(), wanted)
        return *result, None, None


def _backward_joined(
    geometry: Geometry, halo: Halo, saved: Sequence[Tensor], gradient: Tensor, wanted: list[bool]
) -> tuple[Any, ...]:
    """Return the gradients of rows, weight and bias, of share and halo together."""
    rows, weight, above, below = saved
    joined = _joined(rows, above, below, halo)
    padding, start, after = geometry.joined_padding()
    if start or after:
        gradient = F.pad(gradient, (0, 0, start, after))
    of_joined, of_weight, of_bias = geometry.gradients(gradient, joined, weight, padding, wanted)
    del joined
    if not wanted[0]:
        return None, of_weight, of_bias
    outside_above = halo.above - halo.num_above
    outside_below = halo.below - halo.num_below
    inside = of_joined[:, :, outside_above : of_joined.shape[2] - outside_below]
    return own_gradient(inside, halo), of_weight, of_bias


def _backward_apart(
    geometry: Geometry, halo: Halo, saved: Sequence[Tensor], gradient: Tensor, wanted: list[bool]
) -> tuple[Any, ...]:
    """Return the same, of the halo first, which travels while the share's are computed."""
    rows, weight, above, below = saved
    of_halo = [torch.zeros_like(above), torch.zeros_like(below)]
    of_weights = []
    for edge, part in _edges(geometry, rows, above, below):
        strip = edge.padded(part)
        shape = geometry.run(strip, weight, None, 0).shape
        of_strip = gradient.new_zeros(shape)
        edge.within(of_strip).copy_(gradient[:, :, edge.out])
        of_part, of_weight, _ = geometry.gradients(
            of_strip, strip, weight, 0, [wanted[0], wanted[1], False]
        )
        of_weights.append(of_weight)
        if wanted[0]:
            of_halo[part is below].copy_(of_part.narrow(2, edge.before, part.shape[2]))
    finish = halo.give_back(*of_halo) if wanted[0] else None
    of_rows, of_weight, of_bias = geometry.gradients(
        gradient, rows, weight, geometry.padding[0], wanted
    )
    for more in of_weights:
        if wanted[1]:
            of_weight += more
    if finish is not None:
        finish(of_rows)
    return of_rows, of_weight, of_bias


def _is_apart(rows: Tensor, halo: Halo) -> bool:
    """Return whether a share's halo is convolved by itself."""
    is_whole = halo.num_above in (0, halo.above) and halo.num_below in (0, halo.below)
    return rows.shape[2] >= MANY_ROWS and is_whole


def _edges(
    geometry: Geometry, rows: Tensor, above: Tensor, below: Tensor
) -> list[tuple[Edge, Tensor]]:
    """Return both edges of a share with the rows beside them, without those of the image."""
    edges = zip(geometry.edges(rows.shape[2]), (above, below), strict=True)
    return [(edge, part) for edge, part in edges if part.shape[2]]


def _joined(rows: Tensor, above: Tensor, below: Tensor, halo: Halo) -> Tensor:
    """Return a share and its halo, with zeros beyond the image's edges."""
    pads = (halo.above - halo.num_above, halo.below - halo.num_below)
    zeros = [rows.new_zeros((*rows.shape[:2], num, rows.shape[3])) for num in pads]
    return torch.cat([zeros[0], above, rows, below, zeros[1]], dim=2)
