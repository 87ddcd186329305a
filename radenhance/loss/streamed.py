"""The loss that trains: MS-SSIM, or MS-SSIM and a share of the mean absolute error.

MS-SSIM is blind to a shift of brightness that leaves the structure alone, and so the images of a
network that it trains drift in tone. Zhao, Gallo, Frosio and Kautz, "Loss functions for image
restoration with neural networks" (IEEE TCI 2017) add the absolute error, at 0.16 of the whole.

Value and gradient are made together, while the images are at hand. One map of the image's size
waits for the backward pass, which multiplies it by a number.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.loss.blur import MARGIN
from radenhance.loss.ms_ssim import (
    NUM_SCALES,
    NumScales,
    check_same_shape,
    full_precision,
    keep_positive,
    scale_weights,
)
from radenhance.loss.streamed_ms_ssim import Images, distances_of_scales, gradient_of_image
from radenhance.rows.share import WHOLE, Share

MOST_BANDS = 2
"""Bands of rows in which the absolute error is added up at most."""


def streamed_loss(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales = NUM_SCALES,
    l1_share: float = 0.0,
    data_range: float = 1.0,
    share: Share = WHOLE,
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
        share: Which rows of the images the tensors have; the loss is that of all rows, and equal in
            all processes.

    Raises:
        ImageSizeError: The coarsest scale would be smaller than the window.
    """
    check_same_shape(enhanced, target)
    side = min(share.num_rows(enhanced, 0), enhanced.shape[-1])
    exponents = scale_weights(side, num_scales)
    with torch.autocast(enhanced.device.type, enabled=False):
        result: Tensor = _StreamedLoss.apply(
            enhanced, target.detach(), exponents, l1_share, data_range, share
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
        share: Share,
    ) -> Tensor:
        dtype = full_precision(enhanced, target)
        x, y = (image.reshape(1, -1, *image.shape[-2:]) for image in (enhanced, target))
        images = Images(x, y, data_range, dtype, share)
        distances, maps = distances_of_scales(images, len(exponents))
        sides = [(share.num_rows(one, i), one.shape[-1]) for i, one in enumerate(maps)]
        loss, weights = _ms_ssim_loss(distances, sides, exponents, 1 - l1_share)
        gradient = gradient_of_image(maps, weights)
        if l1_share:
            loss += _add_absolute_error(images, 100 * l1_share, gradient)
        ctx.save_for_backward(gradient.reshape(enhanced.shape))
        ctx.dtype = enhanced.dtype
        return loss.to(dtype)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(gradients[0]).to(ctx.dtype), None, None, None, None, None


def _ms_ssim_loss(
    distances: Tensor, sides: list[tuple[int, int]], exponents: list[float], share: float
) -> tuple[Tensor, Tensor]:
    """Return 100 * share * (1 - mean MS-SSIM), a scalar, and its derivative for each distance.

    Args:
        distances: Those of `distances_of_scales`, shape (scales, M).
        sides: Rows and columns of the scales.
        exponents: Exponents of the scales.
        share: Share of MS-SSIM in the loss.
    """
    halves = [(rows - MARGIN) * (columns - MARGIN) / 2 for rows, columns in sides]
    with torch.inference_mode(False), torch.enable_grad():
        numbers = distances.new_tensor([halves, exponents])[:, :, None]
        distances = distances.clone().requires_grad_()
        logarithms = numbers[1] * keep_positive(1 - distances / numbers[0]).log()
        loss = -100 * share * logarithms.sum(dim=0).expm1().mean()
        (derivatives,) = torch.autograd.grad(loss, distances)
    return loss.detach(), derivatives


def _add_absolute_error(images: Images, factor: float, gradient: Tensor) -> Tensor:
    """Return the mean absolute error times a factor, a scalar, and add its gradient to a map.

    Args:
        images: Images to compare.
        factor: Factor.
        gradient: Map, shape (1, M, H, W).
    """
    factor /= gradient.numel() // gradient.shape[2] * images.share.num_rows(gradient, 0)
    height = -(-gradient.shape[2] // MOST_BANDS)
    bands = (
        torch.split(maps, height, dim=2) for maps in (images.enhanced, images.target, gradient)
    )
    sums = []
    for x, y, part in zip(*bands, strict=True):
        difference = x - y.to(images.dtype)
        sums.append(torch.linalg.vector_norm(difference, 1, dim=3))
        part.add_(difference.sign_(), alpha=factor)
    return images.share.add_up(torch.cat(sums, dim=2).sum(dtype=torch.float64)) * factor
