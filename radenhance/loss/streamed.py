"""The loss that trains: MS-SSIM, or MS-SSIM and a share of the mean absolute error.

MS-SSIM is blind to a shift of brightness that leaves the structure alone, and so the images of a
network that it trains drift in tone. Zhao, Gallo, Frosio and Kautz, "Loss functions for image
restoration with neural networks" (IEEE TCI 2017) add the absolute error, at 0.16 of the whole.

The gradient of an absolute error is a sign: one byte per pixel waits for the backward pass.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.loss.ms_ssim import NUM_SCALES, NumScales, in_full_precision
from radenhance.loss.streamed_ms_ssim import streamed_ms_ssim_loss

BAND_PIXELS = 2**20
"""Pixels whose difference is in memory at once."""


def streamed_loss(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales = NUM_SCALES,
    l1_share: float = 0.0,
) -> Tensor:
    """Return 100 * ((1 - share) * (1 - MS-SSIM) + share * mean absolute error), a scalar.

    Its gradient is for `enhanced` alone, and its backward pass runs once.

    Args:
        enhanced: Shape (N, C, H, W), any floating dtype; computed in float32, or float64 if given.
        target: Shape (N, C, H, W), in [0, 1].
        num_scales: 1 to 5, or "auto" for as many as the image has room for.
        l1_share: Share of the absolute error, in [0, 1).

    Raises:
        ImageSizeError: The coarsest scale would be smaller than the window.
    """
    similarity_loss = streamed_ms_ssim_loss(enhanced, target, num_scales=num_scales)
    if not l1_share:
        return similarity_loss
    return (1 - l1_share) * similarity_loss + 100 * l1_share * mean_absolute_error(enhanced, target)


def mean_absolute_error(enhanced: Tensor, target: Tensor) -> Tensor:
    """Return the mean of |enhanced - target|, a scalar with a gradient for `enhanced` alone.

    Args:
        enhanced: Shape (..., H, W), any floating dtype; computed in float32, or float64 if given.
        target: The same shape.
    """
    result: Tensor = _MeanAbsoluteError.apply(enhanced, target.detach())
    return result


class _MeanAbsoluteError(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, enhanced: Tensor, target: Tensor) -> Tensor:
        signs = torch.empty(enhanced.shape, dtype=torch.int8, device=enhanced.device)
        total = torch.zeros((), dtype=torch.float64, device=enhanced.device)
        rows = max(1, BAND_PIXELS // enhanced[..., 0, :].numel())
        parts = (torch.split(image, rows, dim=-2) for image in (enhanced, target, signs))
        for x, y, sign in zip(*parts, strict=True):
            x, y = in_full_precision(x, y)
            difference = x - y
            sign.copy_(difference.sign())
            total += difference.abs_().sum(dtype=torch.float64)
        ctx.save_for_backward(signs)
        ctx.dtype = enhanced.dtype
        return (total / enhanced.numel()).to(torch.promote_types(enhanced.dtype, torch.float32))

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (signs,) = ctx.saved_tensors
        return signs.to(ctx.dtype).mul_(gradients[0] / signs.numel()), None
