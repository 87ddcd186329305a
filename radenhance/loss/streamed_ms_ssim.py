"""The loss that trains: the one that `ms_ssim.py` defines, and its gradient, in bands of rows.

Autograd keeps 18 maps of the size of the image for MS-SSIM. But a scale enters the loss only
through its mean m_s over the image, and the gradient of a mean is a sum over places: a band of rows
gives its share of m_s and of dm_s/dx and can be forgotten. How much each m_s weighs is known only
when all of them are; so dm_s/dx is kept, one map per scale, and the backward pass adds them up from
coarse to fine, in place:

    dloss/dx = sum over s of  dloss/dm_s * (transpose of s halvings) dm_s/dx

With the two images and their halves that is 3.7 maps while the loss is computed and 1.3 until the
backward pass. What comes after the means, weights and floor, is left to autograd.

With x and y about the middle of the data range, means mu and variances v under the Gaussian window
G, cs the contrast-structure and l the luminance (Wang et al. 2003), q = l at the coarsest scale and
else 1:

    d(sum of q cs)/dx = G'(dq/dmu_x cs - 2 mu_x a - mu_y b) + 2 x G'a + y G'b
    a = d(q cs)/dv_x = -q cs / (v_x + v_y + C2)      b = d(q cs)/dcov = 2 q / (v_x + v_y + C2)

where G' spreads every window's value over the window: the transpose of the blur.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.loss.ms_ssim import (
    K1,
    K2,
    NUM_SCALES,
    WINDOW_SIGMA,
    WINDOW_SIZE,
    NumScales,
    check_same_shape,
    halve,
    in_full_precision,
    keep_positive,
    scale_weights,
)
from radenhance.repetition import alike

_BELLS = [
    math.exp(-((i - WINDOW_SIZE // 2) ** 2) / (2 * WINDOW_SIGMA**2)) for i in range(WINDOW_SIZE)
]
WINDOW = [bell / sum(_BELLS) for bell in _BELLS]
"""The Gaussian window of `ms_ssim.gaussian_window`, as numbers."""

BAND_PIXELS = 2**17
"""Pixels of a band at least: small enough for its twenty maps to stay in a cache."""

MOST_BANDS = 64
"""Bands of a scale at most, where a band's twenty maps are small beside the image anyway."""


def streamed_ms_ssim_loss(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales = NUM_SCALES,
    data_range: float = 1.0,
) -> Tensor:
    """Return `ms_ssim_loss(enhanced, target)`, with a gradient for `enhanced` alone.

    Its backward pass works in place and so runs once: PyTorch refuses a second one.

    Args:
        enhanced: Shape (N, C, H, W), any floating dtype; computed in float32, or float64 if given.
        target: Shape (N, C, H, W).
        num_scales: 1 to 5, or "auto" for as many as the image has room for.
        data_range: Largest minus smallest value that a pixel can have.

    Raises:
        ImageSizeError: The coarsest scale would be smaller than the window.
    """
    check_same_shape(enhanced, target)
    weights = scale_weights(min(enhanced.shape[-2:]), num_scales)
    with torch.autocast(enhanced.device.type, enabled=False):
        enhanced, target = in_full_precision(enhanced, target)
        differentiable = torch.is_grad_enabled() and enhanced.requires_grad
        means: Tensor = _ScaleMeans.apply(
            enhanced, target.detach(), len(weights), data_range, differentiable
        )
        exponents = zip(means, weights, strict=True)
        factors = [keep_positive(mean) ** weight for mean, weight in exponents]
        return 100.0 * (1.0 - torch.stack(factors).prod(dim=0).mean())


class _ScaleMeans(torch.autograd.Function):
    """Means of contrast-structure at each scale, of similarity at the last: (scales, N, C)."""

    @staticmethod
    @override
    def forward(
        ctx: Any,
        enhanced: Tensor,
        target: Tensor,
        num_scales: int,
        data_range: float,
        differentiable: bool,
    ) -> Tensor:
        means, gradients = [], []
        for scale in range(num_scales):
            if scale > 0:
                enhanced, target = halve(enhanced), halve(target)
            gradient = torch.zeros_like(enhanced) if differentiable else None
            with_luminance = scale == num_scales - 1
            means.append(_mean_of_scale(enhanced, target, data_range, with_luminance, gradient))
            gradients.append(gradient)
        ctx.save_for_backward(*gradients)
        return torch.stack(means)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor | None, ...]:
        gradients: tuple[Tensor, ...] = ctx.saved_tensors
        for gradient, weight in zip(gradients, weights[0], strict=True):
            gradient.mul_(weight[:, :, None, None])
        for coarse, fine in pairwise(reversed(gradients)):
            _add_halving_transposed(fine, coarse)
        return gradients[0], None, None, None, None


def _mean_of_scale(
    enhanced: Tensor,
    target: Tensor,
    data_range: float,
    with_luminance: bool,
    gradient: Tensor | None,
) -> Tensor:
    """Return the mean of one scale, shape (N, C), and add its gradient to `gradient`."""
    rows, columns = (side - WINDOW_SIZE + 1 for side in enhanced.shape[-2:])
    total = enhanced.new_zeros(enhanced.shape[:2], dtype=torch.float64)
    band_pixels = max(BAND_PIXELS, enhanced.numel() // MOST_BANDS)
    band_rows = max(1, band_pixels // enhanced[:, :, 0].numel())
    for first in alike(range(0, rows, band_rows)):
        seen = slice(first, min(first + band_rows, rows) + WINDOW_SIZE - 1)
        x, y = (image[:, :, seen] - data_range / 2 for image in (enhanced, target))
        similarity, slopes = _similarity(x, y, data_range, with_luminance, gradient is not None)
        total += similarity.sum(dim=3).sum(dim=2, dtype=torch.float64)
        if slopes is not None and gradient is not None:
            gradient[:, :, seen] += _spread(x, y, slopes)
    if gradient is not None:
        gradient.div_(rows * columns)
    return (total / (rows * columns)).to(enhanced.dtype)


def _similarity(
    x: Tensor, y: Tensor, data_range: float, with_luminance: bool, differentiable: bool
) -> tuple[Tensor, Tensor | None]:
    """Return q cs of every full window, and the three maps that the module's formula spreads.

    Args:
        x: Enhanced band minus the middle of the data range, shape (N, C, H, W).
        y: The target's, likewise.
        data_range: Largest minus smallest value that a pixel can have.
        with_luminance: Whether q is the luminance, or 1.
        differentiable: Whether to return the maps, shape (3 N, C, H - 10, W - 10).
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    products = torch.cat([x, y, x * x, y * y, x * y])
    mean_x, mean_y, xx, yy, xy = _blur(_blur(products, 3), 2).chunk(5)
    spread = xx.addcmul_(mean_x, mean_x, value=-1).add_(yy.addcmul_(mean_y, mean_y, value=-1))
    spread.add_(c2)
    similarity = (2 * xy.addcmul_(mean_x, mean_y, value=-1)).add_(c2).div_(spread)
    per_covariance = 2 / spread
    of_mean: Tensor | float = 0.0
    if with_luminance:
        light_x, light_y = mean_x + data_range / 2, mean_y + data_range / 2
        energy = light_x * light_x + light_y * light_y + c1
        luminance = (2 * light_x * light_y + c1) / energy
        of_mean = 2 * (light_y - luminance * light_x) / energy * similarity
        similarity, per_covariance = similarity * luminance, per_covariance * luminance
    if not differentiable:
        return similarity, None
    per_variance = -similarity / spread
    of_mean = of_mean - 2 * mean_x * per_variance - mean_y * per_covariance
    return similarity, torch.cat([of_mean, per_variance, per_covariance])


def _spread(x: Tensor, y: Tensor, slopes: Tensor) -> Tensor:
    """Return d(sum of q cs)/dx of a band, from what `_similarity` returned for it."""
    spread = _blur_transposed(_blur_transposed(slopes, 2), 3)
    of_mean, per_variance, per_covariance = spread.chunk(3)
    return of_mean.addcmul_(x, per_variance, value=2).addcmul_(y, per_covariance)


def _blur(image: Tensor, dim: int) -> Tensor:
    """Return the Gaussian mean of every full window along one dimension, which gets 10 shorter.

    Eleven additions of a band that is in the cache are thirty times as fast as a convolution of
    one channel is on a CPU.
    """
    size = image.shape[dim] - WINDOW_SIZE + 1
    total = image.narrow(dim, 0, size) * WINDOW[0]
    for offset in range(1, WINDOW_SIZE):
        total.add_(image.narrow(dim, offset, size), alpha=WINDOW[offset])
    return total


def _blur_transposed(image: Tensor, dim: int) -> Tensor:
    """Return every value of `image` spread over its window along one dimension."""
    size = image.shape[dim]
    shape = list(image.shape)
    shape[dim] += WINDOW_SIZE - 1
    total = image.new_zeros(shape)
    for offset, weight in enumerate(WINDOW):
        total.narrow(dim, offset, size).add_(image, alpha=weight)
    return total


def _add_halving_transposed(fine: Tensor, coarse: Tensor) -> None:
    """Add to `fine` the gradient that `coarse`, that of `halve(image)`, means for the image.

    An odd last row or column was repeated, so it counts twice.
    """
    rows, columns = fine.shape[-2:]
    quarter = coarse / 4
    if rows % 2:
        quarter[:, :, -1] *= 2
    if columns % 2:
        quarter[:, :, :, -1] *= 2
    for row in (0, 1):
        for column in (0, 1):
            part = fine[:, :, row::2, column::2]
            part += quarter[:, :, : part.shape[2], : part.shape[3]]
