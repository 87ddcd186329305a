"""Multi-scale structural similarity, as pure functions: the definition, and the oracle of tests.

What trains is `streamed.py`, which gives the same numbers in less memory; validation
measures with the functions here.

The definition is that of Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image
quality assessment" (Asilomar 2003), with the choices of their published evaluation: an 11-tap
Gaussian window of standard deviation 1.5 applied without padding, K1 = 0.01, K2 = 0.03; five
scales, each half the one before by a 2x2 mean whose last row or column is repeated when a side is
odd; contrast-structure at every scale and luminance at the coarsest one; spatial means before the
weighted product.

Two things are ours, and neither moves a value that the paper defines:

- A mean similarity can be negative (an anti-correlated image), where a fractional power is
  undefined and the usual clamp to 0 has no gradient: training could start dead. Below `FLOOR` the
  mean x is replaced by FLOOR^2 / (2 FLOOR - x): positive, rising, with the value and slope of x at
  FLOOR.
- Everything is computed in float32 at least, whatever the autocast, and variances about the middle
  of the data range: they are differences of nearly equal numbers, and bfloat16 keeps three digits.

Shapes: N images, C channels, H rows, W columns.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.errors import ImageSizeError, ParameterError
from radenhance.rows.share import WHOLE, Share

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, fine to coarse (Wang et al. 2003, section 3.2)."""

NUM_SCALES = len(WEIGHTS)
WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
K1, K2 = 0.01, 0.03
FLOOR = 0.01

NumScales = int | Literal["auto"]


def ms_ssim_loss(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales = NUM_SCALES,
    data_range: float = 1.0,
) -> Tensor:
    """Return 100 * (1 - mean MS-SSIM), a scalar in [0, 100]: the scale of the paper's tables.

    Args:
        enhanced: Shape (N, C, H, W).
        target: Shape (N, C, H, W).
        num_scales: As for `ms_ssim`.
        data_range: As for `ms_ssim`.
    """
    similarity = ms_ssim(enhanced, target, num_scales=num_scales, data_range=data_range)
    return 100.0 * (1.0 - similarity.mean())


def ms_ssim(
    enhanced: Tensor,
    target: Tensor,
    *,
    num_scales: NumScales = NUM_SCALES,
    data_range: float = 1.0,
    share: Share = WHOLE,
) -> Tensor:
    """Return the MS-SSIM of each image, shape (N,), in (0, 1]; 1 for equal images.

    Args:
        enhanced: Shape (N, C, H, W), any floating dtype; computed in float32, or float64 if given.
        target: Shape (N, C, H, W).
        num_scales: 1 to 5, or "auto" for as many as the image has room for. With fewer than five
            the weights are those of the finest scales, divided by their sum.
        data_range: Largest minus smallest value that a pixel can have.
        share: Which rows of the images the tensors have; the MS-SSIM is that of all rows.

    Raises:
        ImageSizeError: The coarsest scale would be smaller than the window.
    """
    check_same_shape(enhanced, target)
    side = min(share.num_rows(enhanced, 0), enhanced.shape[-1])
    weights = scale_weights(side, num_scales)
    with torch.autocast(enhanced.device.type, enabled=False):
        dtype = full_precision(enhanced, target)
        enhanced, target = enhanced.to(dtype), target.to(dtype)
        product = enhanced.new_ones(enhanced.shape[:2])
        for scale, weight in enumerate(weights):
            if scale > 0:
                enhanced, target = halve(enhanced), halve(target)
            similarity, contrast_structure = ssim_means(enhanced, target, data_range, share, scale)
            last = scale == len(weights) - 1
            product = product * keep_positive(similarity if last else contrast_structure) ** weight
    return product.mean(dim=1)


def ssim(
    enhanced: Tensor, target: Tensor, *, data_range: float = 1.0, share: Share = WHOLE
) -> Tensor:
    """Return the single-scale SSIM of each image, shape (N,), in [-1, 1].

    Args:
        enhanced: Shape (N, C, H, W).
        target: Shape (N, C, H, W).
        data_range: Largest minus smallest value that a pixel can have.
        share: As for `ms_ssim`.
    """
    check_same_shape(enhanced, target)
    scale_weights(min(share.num_rows(enhanced, 0), enhanced.shape[-1]), 1)
    with torch.autocast(enhanced.device.type, enabled=False):
        dtype = full_precision(enhanced, target)
        enhanced, target = enhanced.to(dtype), target.to(dtype)
        similarity, _ = ssim_means(enhanced, target, data_range, share)
    return similarity.mean(dim=1)


def smallest_side(num_scales: int) -> int:
    """Return the smallest image side, in pixels, that `num_scales` scales can be computed on."""
    return (WINDOW_SIZE - 1 << num_scales - 1) + 1


def scale_weights(side: int, num_scales: NumScales) -> list[float]:
    """Return the exponents of the scales for an image whose smaller side has `side` pixels.

    Args:
        side: The smaller side in pixels.
        num_scales: 1 to 5, or "auto" for as many as the image has room for.

    Raises:
        ParameterError: `num_scales` is not 1 to 5 or "auto".
        ImageSizeError: The image has no room for them.
    """
    possible = [n for n in range(1, NUM_SCALES + 1) if side >= smallest_side(n)]
    chosen = max(possible, default=1) if num_scales == "auto" else num_scales
    if not 1 <= chosen <= NUM_SCALES:
        raise ParameterError(
            "ContrastEnhancer.num_scales",
            got=chosen,
            expected=f"1 to {NUM_SCALES} scales, or auto for as many as the image has room for",
        )
    if chosen not in possible:
        fits = f"use ContrastEnhancer(num_scales={possible[-1]}) or auto, or " if possible else ""
        raise ImageSizeError(
            f"MS-SSIM with {chosen} scales needs images of at least {smallest_side(chosen)} pixels "
            f"a side, got {side}; {fits}use larger images"
        )
    total = sum(WEIGHTS[:chosen]) if chosen < NUM_SCALES else 1.0
    return [weight / total for weight in WEIGHTS[:chosen]]


def ssim_means(
    enhanced: Tensor, target: Tensor, data_range: float, share: Share = WHOLE, scale: int = 0
) -> tuple[Tensor, Tensor]:
    """Return spatial means of SSIM and of its contrast-structure factor, each of shape (N, C)."""
    margin = WINDOW_SIZE - 1
    enhanced, target = (share.below(image, margin, scale) for image in (enhanced, target))
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    middle = data_range / 2
    x, y = enhanced - middle, target - middle
    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x * mean_x
    var_y = blur(y * y) - mean_y * mean_y
    covariance = blur(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + middle, mean_y + middle
    contrast_structure = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    both = (luminance * contrast_structure, contrast_structure)
    similarity, structure = (
        share.mean(one, scale, one.dtype, margin=margin)[:, :, 0, 0] for one in both
    )
    return similarity, structure


def blur(image: Tensor) -> Tensor:
    """Return the Gaussian mean of every full window, shape (N, C, H - 10, W - 10)."""
    channels = image.shape[1]
    if image.shape[2] < WINDOW_SIZE:  # of a share at the image's end, in which no window begins
        return image.new_zeros((*image.shape[:2], 0, image.shape[3] - WINDOW_SIZE + 1))
    window = gaussian_window(image).expand(channels, 1, 1, WINDOW_SIZE)
    rows = F.conv2d(image, window, groups=channels)
    return F.conv2d(rows, window.transpose(2, 3), groups=channels)


def gaussian_window(like: Tensor) -> Tensor:
    """Return the Gaussian window, shape (11,), sum 1, with dtype and device of `like`."""
    offset = torch.arange(WINDOW_SIZE, dtype=like.dtype, device=like.device) - WINDOW_SIZE // 2
    weights = torch.exp(-(offset**2) / (2 * WINDOW_SIGMA**2))
    return weights / weights.sum()


def halve(image: Tensor) -> Tensor:
    """Return the means of 2x2 blocks, shape (N, C, ceil(H / 2), ceil(W / 2)).

    An odd last row or column is repeated and so keeps its value; zeros would darken it. A block
    over the edge has the mean of its pixels, which is the same.
    """
    return F.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)


def keep_positive(similarity: Tensor) -> Tensor:
    """Return `similarity` where it is above FLOOR, and its positive continuation below."""
    low = similarity < FLOOR
    gap = torch.where(low, 2 * FLOOR - similarity, torch.ones_like(similarity))
    return torch.where(low, FLOOR**2 / gap, similarity)


def full_precision(enhanced: Tensor, target: Tensor) -> torch.dtype:
    """Return float32, or float64 when one of both images has it."""
    dtype = torch.promote_types(enhanced.dtype, target.dtype)
    return torch.promote_types(dtype, torch.float32)


def check_same_shape(enhanced: Tensor, target: Tensor) -> None:
    """Raise ImageSizeError unless both have one shape (N, C, H, W)."""
    if enhanced.shape != target.shape or enhanced.dim() != 4:
        raise ImageSizeError(
            f"similarity compares images of one shape (N, C, H, W), got {tuple(enhanced.shape)} "
            f"and {tuple(target.shape)}; crop or resample them to the same size"
        )
