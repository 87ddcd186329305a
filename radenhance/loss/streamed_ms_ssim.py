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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.loss.blur import MARGIN, blur_for
from radenhance.loss.ms_ssim import K1, K2


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
        y = y.to(self.dtype)  # and x, in the kernels
        middle = self.data_range  # of the sum: its variance is a difference of squares
        return torch.cat([(x + y).sub_(middle), x - y], dim=1)


def distances_of_scales(images: Images, num_scales: int) -> tuple[Tensor, list[Tensor]]:
    """Return by how much the images differ at each scale, and maps of gradients.

    A distance is half of 1 - similarity, summed over all windows. The similarity is the
    contrast-structure, at the coarsest scale multiplied by the luminance.

    Args:
        images: Images to compare.
        num_scales: Number of scales.

    Returns:
        Distances in float64, shape (scales, M), and a map for each scale, the finest of shape
        (1, M, H, W): the gradient of the distance for the enhanced image of that scale.
        Both are fine to coarse.
    """
    pairs = [images.halved_pair()] if num_scales > 1 else []
    while len(pairs) < num_scales - 1:
        pairs.append(_halve(pairs[-1]))
    bands = _Bands(images)
    distances, gradients = [], []
    for scale in reversed(range(num_scales)):
        pair = pairs.pop() if scale > 0 else None
        size = (images.enhanced if pair is None else pair).shape[-2:]
        gradients.append(images.zeros(size))
        bright = scale == num_scales - 1
        distances.append(bands.distance(pair, gradients[-1], bright=bright))
        del pair
    return torch.stack(distances[::-1]), gradients[::-1]


def gradient_of_image(gradients: list[Tensor], weights: Tensor) -> Tensor:
    """Return the gradient of a function of the distances, in the memory of the finest of theirs.

    Args:
        gradients: Maps of `distances_of_scales`, fine to coarse; they are spent.
        weights: Derivative of the function for each distance, shape (scales, M).
    """
    factors = weights.to(gradients[0].dtype)[:, None, :, None, None]
    coarse = gradients.pop().mul_(factors[-1])
    while gradients:
        fine = gradients.pop()
        fine.mul_(factors[len(gradients)])
        _add_halving_transposed(fine, coarse)
        coarse = fine
    return coarse


class _Bands:
    """What the windows of two images differ by, and its gradient, one band of rows at a time."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._num = images.enhanced.shape[1]
        self._blur = blur_for(images.enhanced, (2 * self._num, 3 * self._num), images.dtype)
        c2 = 2 * (K2 * images.data_range) ** 2
        self._offset = images.enhanced.new_tensor([c2, 0.0], dtype=images.dtype)
        self._offset = self._offset.repeat_interleave(self._num)

    def distance(self, pair: Tensor | None, gradient: Tensor, *, bright: bool) -> Tensor:
        """Return the distance at one scale, shape (M,), and add its gradient to a map.

        Args:
            pair: Sum and difference, shape (1, 2 M, H, W), or None for those of the images.
            gradient: Map, shape (1, M, H, W).
            bright: Whether contrast-structure is multiplied by luminance.
        """
        sums: list[Tensor] = []
        for seen in self._bands_of(gradient):
            band = self._images.pair(seen) if pair is None else pair[:, :, seen]
            # the slopes have no name here, so that they are released while they are spread
            spread = self._blur.spread(self._slopes(band, sums, bright))
            of_sum, of_difference, of_means = spread.split(self._num, dim=1)
            total, difference = band.split(self._num, dim=1)
            part = gradient[:, :, seen].addcmul_(difference, of_sum, value=2)
            part.addcmul_(total, of_difference, value=-2).add_(of_means, alpha=2)
            del band, spread, of_sum, of_difference, of_means, total, difference
        return torch.cat(sums, dim=-1).sum(dim=(0, -1), dtype=torch.float64)

    def _bands_of(self, scale: Tensor) -> Iterator[slice]:
        """Yield the rows that the bands of a scale see; those of neighbours overlap."""
        finest = self._images.enhanced.numel()
        pixels = max(self._blur.band_pixels, finest // self._blur.most_bands)
        if scale.numel() < finest:
            pixels *= 2  # its pairs are there already, and no map of the finest
        height = max(1, pixels // scale[:, :, 0].numel())
        rows = scale.shape[2] - MARGIN
        for first in range(0, rows, height):
            yield slice(first, min(first + height, rows) + MARGIN)

    def _slopes(self, pair: Tensor, sums: list[Tensor], bright: bool) -> Tensor:
        """Return the maps to spread, t_s, t_d and what the means get, shape (1, 3 M, H, W).

        Args:
            pair: Sum and difference, shape (1, 2 M, H, W).
            sums: List to append the distances to, summed along rows, shape (1, M, H - 10).
            bright: Whether contrast-structure is multiplied by luminance.
        """
        means = self._blur.mean(pair)
        slopes = self._blur.mean(pair.square(), self._offset).addcmul_(means, means, value=-1)
        of_sum, of_difference = slopes.split(self._num, dim=1)
        spread = of_sum + of_difference
        both = slopes.view(2, *spread.shape[1:]).div_(spread)  # 1 - r and r
        light = self._light(means, of_difference) if bright else None
        sums.append((of_difference if light is None else light[0]).sum(dim=-1))
        both.div_(spread if light is None else spread.div_(light[1]))
        mean, mean_difference = means.split(self._num, dim=1)
        of_means = (of_difference * mean).addcmul_(of_sum, mean_difference, value=-1)
        if light is not None:
            of_means.add_(light[2])
        del means, mean, mean_difference, spread, light
        return torch.cat([slopes, of_means], dim=1)

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
    if rows % 2:
        coarse[:, :, -1].mul_(2)
    if columns % 2:
        coarse[:, :, :, -1].mul_(2)
    wide = coarse.repeat_interleave(2, dim=3)[:, :, :, :columns]
    fine[:, :, 0::2].add_(wide, alpha=0.25)
    fine[:, :, 1::2].add_(wide[:, :, : rows // 2], alpha=0.25)
