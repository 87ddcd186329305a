"""The loss that trains: MS-SSIM, or MS-SSIM and a share of the mean absolute error.

MS-SSIM is blind to a shift of brightness that leaves the structure alone, and so the images of a
network that it trains drift in tone. Zhao, Gallo, Frosio and Kautz, "Loss functions for image
restoration with neural networks" (IEEE TCI 2017) add the absolute error, at 0.16 of the whole.

Value and gradient are made together, where the images are at hand: one map of the image's size
waits for the backward pass, which multiplies it by a number.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.loss.ms_ssim import (
    NUM_SCALES,
    NumScales,
    check_same_shape,
    keep_positive,
    scale_weights,
)
from radenhance.loss.streamed_ms_ssim import Images, gradient_of_image, means_of_scales

MOST_BANDS = 4
"""Bands of rows in which the absolute error is added up at most."""


def streamed_loss(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales = NUM_SCALES,
    l1_share: float = 0.0,
    data_range: float = 1.0,
) -> Tensor:
    """Return 100 * ((1 - share) * (1 - MS-SSIM) + share * mean absolute error), a scalar.

    Without a share it is `ms_ssim.ms_ssim_loss(enhanced, target)`. Its gradient is for `enhanced`
    alone. Its backward pass works in place and so runs once: PyTorch refuses a second one.

    Args:
        enhanced: Shape (N, C, H, W), any floating dtype; computed in float32, or float64 if given.
        target: Shape (N, C, H, W).
        num_scales: 1 to 5, or "auto" for as many as the image has room for.
        l1_share: Share of the absolute error, in [0, 1).
        data_range: Largest minus smallest value that a pixel can have.

    Raises:
        ImageSizeError: The coarsest scale would be smaller than the window.
    """
    check_same_shape(enhanced, target)
    exponents = scale_weights(min(enhanced.shape[-2:]), num_scales)
    differentiable = torch.is_grad_enabled() and enhanced.requires_grad
    with torch.autocast(enhanced.device.type, enabled=False):
        result: Tensor = _StreamedLoss.apply(
            enhanced, target.detach(), exponents, l1_share, data_range, differentiable
        )
    return result


class _StreamedLoss(torch.autograd.Function):
    @staticmethod
    @override
    def forward(
        ctx: Any,
        enhanced: Tensor,
        target: Tensor,
        exponents: list[float],
        l1_share: float,
        data_range: float,
        differentiable: bool,
    ) -> Tensor:
        dtype = torch.promote_types(
            torch.promote_types(enhanced.dtype, target.dtype), torch.float32
        )
        maps = (image.reshape(1, -1, *image.shape[-2:]) for image in (enhanced, target))
        images = Images(*maps, data_range, dtype)
        means, gradients = means_of_scales(images, len(exponents), differentiable=differentiable)
        with torch.set_grad_enabled(differentiable):
            means.requires_grad_(differentiable)
            powers = keep_positive(means) ** means.new_tensor(exponents)[:, None]
            loss = 100 * (1 - l1_share) * (1 - powers.prod(dim=0).mean())
        gradient = None
        if differentiable:
            gradient = gradient_of_image(gradients, *torch.autograd.grad(loss, means))
        loss = loss.detach()
        if l1_share:
            loss += _add_absolute_error(images, 100 * l1_share, gradient)
        if gradient is not None:
            ctx.save_for_backward(gradient.view(enhanced.shape))
        ctx.dtype = enhanced.dtype
        return loss.to(dtype)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(gradients[0]).to(ctx.dtype), None, None, None, None, None


def _add_absolute_error(images: Images, factor: float, gradient: Tensor | None) -> Tensor:
    """Return the mean absolute error times a factor, a scalar in float64.

    Args:
        images: Images to compare.
        factor: Factor.
        gradient: Map to add the gradient to, shape (1, M, H, W).
    """
    factor /= images.enhanced.numel()
    height = -(-images.enhanced.shape[-2] // MOST_BANDS)
    maps = (images.enhanced, images.target, *([] if gradient is None else [gradient]))
    sums = []
    for x, y, *part in zip(*(image.split(height, dim=2) for image in maps), strict=True):
        difference = x.to(images.dtype) - y.to(images.dtype)
        sums.append(difference.abs().sum(dim=(1, 3)))
        for there in part:
            there.add_(difference.sign_(), alpha=factor)
    return torch.cat(sums, dim=1).sum(dtype=torch.float64) * factor
