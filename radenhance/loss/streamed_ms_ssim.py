"""MS-SSIM and its gradient, in bands of rows and with few passes over memory.

Autograd keeps 18 maps of the size of the image for MS-SSIM. But a scale enters it only through its
mean m over the image, and the gradient of a mean is a sum over places: a band of rows gives its
share of m and of dm/dx and can be forgotten. What is kept is dm/dx, one map per scale, until all m
are known and with them how much each weighs:

    dloss/dx = sum over scales of  dloss/dm * (transpose of the halvings) dm/dx

Scales go coarse to fine, so that bands of the finest, which are the largest, have nothing else
beside them.

Sum s = x + y and difference d = x - y of two images say all that similarity needs. With means mu
and variances v under the Gaussian window G, and C1 and C2 of Wang et al. 2003,

    contrast-structure = 1 - 2 r      r = v_d / D       D = v_s + v_d + 2 C2
    luminance          = 1 - 2 p      p = mu_d^2 / L    L = mu_s^2 + mu_d^2 + 2 C1

so that four maps are blurred (s, d and their squares) where x and y need five, and nearly equal
images are told apart by small numbers instead of by differences of large ones. The gradient of
contrast-structure is, with t_d = v_d / D^2 and t_s = (v_s + 2 C2) / D^2,

    d(sum of 1 - 2 r)/dx = 4 (s G't_d - d G't_s - G'(t_d mu_s - t_s mu_d))

where G' spreads every window's value over the window: the transpose of the blur.
"""

from collections.abc import Callable, Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.loss.blur import MARGIN, Blur, blur_for
from radenhance.loss.ms_ssim import K1, K2

BAND_PIXELS = 2**17
"""Pixels of a band at least: few enough for its maps to stay in the cache of a CPU."""

MOST_BANDS = 13
"""Bands of an image at most. A band has eight maps at a time: with one in 13 and the gradients of
all scales that is two maps of the image. More would be more operators to start."""


@dataclass(frozen=True)
class Images:
    """M images of one channel, enhanced and target.

    Args:
        enhanced: Shape (1, M, H, W), any floating dtype.
        target: Shape (1, M, H, W).
        data_range: Largest minus smallest value that a pixel can have.
        dtype: Type of the arithmetic.
    """

    enhanced: Tensor
    target: Tensor
    data_range: float
    dtype: torch.dtype

    def pair(self, rows: slice) -> Tensor:
        """Return sum and difference of some rows, shape (1, 2 M, rows, W)."""
        return self._pair(self.enhanced[:, :, rows], self.target[:, :, rows])

    def halved_pair(self) -> Tensor:
        """Return sum and difference of the halved images, shape (1, 2 M, H / 2, W / 2)."""
        x, y = (_halve(image.to(self.dtype)) for image in (self.enhanced, self.target))
        return self._pair(x, y)

    def zeros(self, size: Sequence[int]) -> Tensor:
        """Return a map of zeros, shape (1, M, *size)."""
        shape = (*self.enhanced.shape[:2], *size)
        return torch.zeros(shape, dtype=self.dtype, device=self.enhanced.device)

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = x.to(self.dtype), y.to(self.dtype)
        middle = self.data_range  # of the sum: its variance is a difference of squares
        return torch.cat([(x + y).sub_(middle), x - y], dim=1)


def means_of_scales(
    images: Images, num_scales: int, *, differentiable: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return mean similarities, and the gradient of each for the enhanced image of its scale.

    The similarity is the contrast-structure, at the coarsest scale multiplied by the luminance.

    Args:
        images: Images to compare.
        num_scales: Number of scales.
        differentiable: Whether to make the gradients; else there are none.

    Returns:
        Means in float64, shape (scales, M), and maps, the finest of shape (1, M, H, W), each a
        quarter of the gradient of a scale's sum over all windows. Both are fine to coarse.
    """
    pairs = [images.halved_pair()] if num_scales > 1 else []
    while len(pairs) < num_scales - 1:
        pairs.append(_halve(pairs[-1]))
    bands = _Bands(images)
    means, gradients = [], []
    for scale in reversed(range(num_scales)):
        pair = pairs.pop() if scale > 0 else None
        size = (images.enhanced if pair is None else pair).shape[-2:]
        gradient = images.zeros(size) if differentiable else None
        means.append(bands.mean(pair, size, gradient, with_luminance=scale == num_scales - 1))
        if gradient is not None:
            gradients.append(gradient)
        del pair
    return torch.stack(means[::-1]), gradients[::-1]


def gradient_of_image(gradients: list[Tensor], weights: Tensor) -> Tensor:
    """Return the gradient of a function of the means, in the memory of the finest of theirs.

    Args:
        gradients: Those of `means_of_scales`; they are spent.
        weights: Derivative of the function for each mean, shape (scales, M).
    """
    factors = weights.to(gradients[0].dtype)[:, None, :, None, None].unbind()
    coarse: Tensor | None = None
    for factor in reversed(factors):
        fine = gradients.pop()
        fine.mul_(factor * (4 / _num_windows(fine.shape[-2:])))
        if coarse is not None:
            _add_halving_transposed(fine, coarse)
        coarse = fine
    assert coarse is not None
    return coarse


class _Bands:
    """Similarity over the windows of an image, and its gradient, one band of rows at a time."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._num = images.enhanced.shape[1]
        self._pixels = max(BAND_PIXELS, images.enhanced.numel() // MOST_BANDS)
        self._blur = blur_for(images.enhanced, 3 * self._num, images.dtype)

    def mean(
        self,
        pair: Tensor | None,
        size: Sequence[int],
        gradient: Tensor | None,
        *,
        with_luminance: bool,
    ) -> Tensor:
        """Return the mean similarities of a scale, shape (M,).

        Args:
            pair: Sum and difference, shape (1, 2 M, H, W), or None for those of the images.
            size: Height and width.
            gradient: Map to add a quarter of the gradient of the sum over all windows to, shape
                (1, M, H, W).
            with_luminance: Whether contrast-structure is multiplied by luminance.
        """
        rows = size[0] - MARGIN
        height = max(1, self._pixels // (self._num * size[1]))
        distances = []
        for first in range(0, rows, height):
            seen = slice(first, min(first + height, rows) + MARGIN)
            band = self._images.pair(seen) if pair is None else pair[:, :, seen]
            part = None if gradient is None else gradient[:, :, seen]
            distances.append(self._distances(band, part, with_luminance))
            del band
        distance = torch.cat(distances, dim=-1).sum(dim=(0, -1), dtype=torch.float64)
        return 1 - distance * (2 / _num_windows(size))

    def _distances(self, pair: Tensor, gradient: Tensor | None, with_luminance: bool) -> Tensor:
        """Return half of 1 - similarity, summed along each row, shape (1, M, H - 10).

        Args:
            pair: Sum and difference, shape (1, 2 M, H, W).
            gradient: Map to add a quarter of the gradient of the similarities to, shape
                (1, M, H, W).
            with_luminance: Whether contrast-structure is multiplied by luminance.
        """
        means = self._blur.mean(pair)
        slopes = self._blur.mean(pair.square()).addcmul_(means, means, value=-1)
        of_sum, of_difference = slopes.split(self._num, dim=1)
        spread = of_sum.add_(2 * (K2 * self._images.data_range) ** 2) + of_difference
        both = slopes.view(2, *spread.shape[1:]).div_(spread)  # 1 - r and r
        light = self._light(means, of_difference) if with_luminance else None
        sums = (of_difference if light is None else light[0]).sum(dim=-1)
        if gradient is None:
            return sums
        both.div_(spread if light is None else spread.div_(light[1]))  # t_s and t_d
        mean_sum, mean_difference = means.split(self._num, dim=1)
        of_mean = (of_difference * mean_sum).addcmul_(of_sum, mean_difference, value=-1)
        if light is not None:
            of_mean.add_(light[2])
        del means, mean_sum, mean_difference, spread, both, light
        maps = torch.cat([slopes, of_mean], dim=1)
        del slopes, of_sum, of_difference, of_mean
        of_sum, of_difference, of_mean = self._blur.spread(maps).chunk(3, dim=1)
        total, difference = pair.chunk(2, dim=1)
        gradient.addcmul_(total, of_difference).addcmul_(difference, of_sum, value=-1)
        gradient.sub_(of_mean)
        return sums

    def _light(self, means: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the luminance makes of a band, three maps of shape (1, M, H, W).

        Args:
            means: Means of sum and difference, shape (1, 2 M, H, W).
            share: r of the module's formula.

        Returns:
            Half of 1 - similarity, the luminance, and a quarter of minus the derivative for the
            mean of the enhanced image that the luminance has by itself.
        """
        total, difference = means.chunk(2, dim=1)
        total = total + self._images.data_range
        energy = total.square().add_(difference.square()).add_(2 * (K1 * self._images.data_range) ** 2)
        tilt = difference / energy
        dark = tilt * difference
        contrast = 1 - 2 * share
        slope = ((total + difference) * tilt).sub_(1).mul_(tilt).mul_(contrast)
        return share + dark * contrast, 1 - 2 * dark, -slope


def _num_windows(size: Sequence[int]) -> int:
    return (size[0] - MARGIN) * (size[1] - MARGIN)


def _halve(images: Tensor) -> Tensor:
    """Return `ms_ssim.halve(images)` by one operator.

    A block over the edge has the mean of its pixels, as if the last row or column were repeated.
    """
    return F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)


def _add_halving_transposed(fine: Tensor, coarse: Tensor) -> None:
    """Add to `fine` the gradient that `coarse`, that of `halve(image)`, means for the image.

    An odd last row or column was repeated, so it counts twice.

    Args:
        fine: Shape (1, M, H, W).
        coarse: Shape (1, M, ceil(H / 2), ceil(W / 2)); changed in place.
    """
    rows, columns = fine.shape[-2:]
    coarse.div_(4)
    if rows % 2:
        coarse[:, :, -1] *= 2
    if columns % 2:
        coarse[:, :, :, -1] *= 2
    wide = coarse.repeat_interleave(2, dim=3)[:, :, :, :columns]
    fine[:, :, 0::2] += wide
    fine[:, :, 1::2] += wide[:, :, : rows // 2]
