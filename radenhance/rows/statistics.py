"""Means over all rows of an image of which each process has some: of norms, and of gates.

BatchNorm's mean and variance are those of all processes' rows, each process's put together in
float64, and in its backward pass so are the two sums that the gradient of its input needs: one
message of a few numbers per channel each way. All processes compute the same numbers, so that their
running statistics stay equal bit by bit.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.compat.torch import batch_norm_parameter_gradients
from radenhance.rows.link import Link, SumOverRows
from radenhance.rows.share import RowShare


def combined(link: Link, mean: Tensor, variance: Tensor, num_values: int) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance of all processes' values, in float64.

    Args:
        link: The processes.
        mean: Mean of this process's values, shape (C,).
        variance: Their biased variance, likewise.
        num_values: Their number.
    """
    num = mean.new_full(mean.shape, num_values, dtype=torch.float64)
    nums, means, variances = link.gather(
        torch.stack([num, mean.double(), variance.double()])
    ).unbind(1)
    shares = nums / nums.sum(dim=0)
    total = (shares * means).sum(dim=0)
    return total, (shares * (variances + (means - total).square())).sum(dim=0)


def num_values_of_all(share: RowShare, features: Tensor) -> int:
    """Return how many values each channel of a map has over all rows."""
    rows: int = share.bounds_at(share.stride_of(features))[-1]
    return features.shape[0] * rows * features.shape[3]


def batch_norm(
    share: RowShare,
    features: Tensor,
    running: tuple[Tensor | None, Tensor | None],
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Return this process's rows, normalised with the statistics of all rows.

    Args:
        share: Which rows of the image they are.
        features: Shape (N, C, H, W).
        running: Running mean and variance, updated as BatchNorm does; None where it has none.
        weight: gamma, shape (C,).
        bias: beta, shape (C,).
        momentum: Share of the new statistics in the running ones.
        eps: Number that is added to the variance.
    """
    num = num_values_of_all(share, features)
    dtype = torch.promote_types(features.dtype, torch.float32)
    num_channels = features.shape[1]
    gamma = features.new_ones(num_channels, dtype=dtype) if weight is None else weight
    beta = features.new_zeros(num_channels, dtype=dtype) if bias is None else bias
    result, mean, variance = _BatchNorm.apply(features, gamma, beta, share.link, num, eps)
    running_mean, running_variance = running
    if running_mean is not None and running_variance is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * num / (num - 1)
            running_variance.lerp_(unbiased.to(running_variance.dtype), momentum)
    assert isinstance(result, Tensor)
    return result


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    @override
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, link: Link, num: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        mean, variance = _moments(rows)
        mean, variance = combined(link, mean, variance, rows.numel() // rows.shape[1])
        mean, variance = mean.to(dtype), variance.to(dtype)
        ctx.save_for_backward(rows, weight, mean, variance)
        ctx.link, ctx.num, ctx.eps = link, num, eps
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(rows, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, variance = ctx.saved_tensors
        gradient = gradients[0]
        of_parameters = batch_norm_parameter_gradients(
            gradient, rows, weight, mean, variance, ctx.eps
        )
        sums = ctx.link.add_up(of_parameters.double())
        slope = weight * torch.rsqrt(variance + ctx.eps)
        gamma, beta = (-slope * sums / ctx.num).to(slope.dtype)
        of_rows = F.batch_norm(rows, mean, variance, gamma, beta, eps=ctx.eps)
        if rows.dtype == slope.dtype:
            of_rows.addcmul_(gradient, slope[:, None, None])
        else:  # rounded once, not three times
            of_rows = (of_rows + gradient * slope[:, None, None]).to(rows.dtype)
        return of_rows, *of_parameters, None, None, None


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance of each channel, in float32 at least.

    BatchNorm's own operator is several times as fast at it as `torch.var_mean`.
    """
    if rows.device.type == "cpu":  # there it would give them in half precision
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    none = (None, None, None, None)
    _, mean, inverse = torch.ops.aten.native_batch_norm(rows, *none, True, 0.0, 0.0)
    return mean, inverse.square().reciprocal()


def mean_of_maps(share: RowShare, features: Tensor) -> Tensor:
    """Return the mean of each channel over all rows, shape (N, C, 1, 1), differentiably."""
    num = num_values_of_all(share, features) // features.shape[0]
    dtype = torch.promote_types(features.dtype, torch.float32)
    sums = features.sum(dim=(2, 3), keepdim=True, dtype=dtype)
    total: Tensor = SumOverRows.apply(sums, share.link)
    return (total / num).to(features.dtype)


def group_norm(
    share: RowShare,
    features: Tensor,
    num_groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Return this process's rows, groups of channels normalised over all rows.

    Args:
        share: Which rows of the image they are.
        features: Shape (N, C, H, W).
        num_groups: Number of groups.
        weight: gamma, shape (C,).
        bias: beta, shape (C,).
        eps: Number that is added to the variance.
    """
    grouped = features.to(torch.promote_types(features.dtype, torch.float32))
    grouped = grouped.reshape(features.shape[0] * num_groups, -1, *features.shape[2:])
    centred = grouped - mean_of_maps(share, grouped).mean(dim=1, keepdim=True)
    variance = mean_of_maps(share, centred.square()).mean(dim=1, keepdim=True)
    result = (centred * torch.rsqrt(variance + eps)).reshape(features.shape)
    if weight is not None:
        result = result * weight[:, None, None]
    if bias is not None:
        result = result + bias[:, None, None]
    return result.to(features.dtype)
