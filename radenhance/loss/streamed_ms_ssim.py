"""MS-SSIM and its gradient, in bands of rows and in few passes over memory.

Autograd keeps 18 maps of the size of the image for MS-SSIM. But a scale enters it only through its
mean m over the image, and the gradient of a mean is a sum over places: a band of rows gives its
share of m and of dm/dx and can be forgotten. How much each m weighs is known only when all of them
are; so dm/dx is kept, one map per scale, and they are added up from coarse to fine, in place:

    dloss/dx = sum over scales of  dloss/dm * (transpose of the halvings) dm/dx

Scales are gone through from coarse to fine too: those of the finest, whose bands take most, then
have no halved images beside them.

The sum s = x + y and the difference d = x - y say all that similarity needs. With their means mu
and variances v under the Gaussian window G, and C1 and C2 of Wang et al. 2003,

    contrast-structure = 1 - 2 r      r = v_d / D       D = v_s + v_d + 2 C2
    luminance          = 1 - 2 p      p = mu_d^2 / L    L = mu_s^2 + mu_d^2 + 2 C1

so that four maps are blurred (s, d and their squares) where x and y need five, and images that are
nearly equal differ by small numbers, not by differences of large ones. What is summed is r, or
r + p - 2 r p where the luminance counts. With t_d = v_d / D^2 and t_s = (v_s + 2 C2) / D^2

    d(sum of r)/dx = 2 (d G't_s - s G't_d + G'(t_d mu_s - t_s mu_d))

where G' spreads every window's value over the window: the transpose of the blur. Neither variances
nor this gradient change with a number that is added to s or d.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from radenhance.loss.blur import MARGIN, blur_for
from radenhance.loss.ms_ssim import K1, K2, halve
from radenhance.rows.share import WHOLE, Share


@dataclass(frozen=True)
class Images:
    """M images of one channel, enhanced and target.

    Args:
        enhanced: Shape (1, M, H, W), any floating dtype.
        target: Shape (1, M, H, W).
        data_range: Largest minus smallest value that a pixel can have.
        dtype: Type of the arithmetic.
        share: Which of their rows this process has.
    """

    enhanced: Tensor
    target: Tensor
    data_range: float
    dtype: torch.dtype
    share: Share = WHOLE

    def with_rows_below(self) -> "Images":
        """Return the images with the rows below this process's that its windows reach."""
        pair = torch.cat([self.enhanced.to(self.dtype), self.target.to(self.dtype)])
        x, y = self.share.below(pair, MARGIN, 0).unsqueeze(1)
        return replace(self, enhanced=x, target=y)

    def pair(self, rows: slice) -> Tensor:
        """Return sum and difference of some rows, shape (1, 2 M, rows, W)."""
        return self._pair(self.enhanced[:, :, rows], self.target[:, :, rows])

    def halved_pair(self) -> Tensor:
        """Return sum and difference of the halved images, shape (1, 2 M, H / 2, W / 2)."""
        x, y = (halve(image.to(self.dtype)) for image in (self.enhanced, self.target))
        return self._pair(x, y)

    def mean_pair(self) -> Tensor:
        """Return the means of sum and difference of the images, shape (1, 2 M, 1, 1)."""
        x, y = (self.share.mean(image, 0, self.dtype) for image in (self.enhanced, self.target))
        return self._pair(x, y)

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        y = y.to(self.dtype)  # what x then becomes while they are added
        return torch.cat([x + y, x - y], dim=1)


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
    share = images.share
    middle = share.mean(pairs[0], 1, images.dtype) if pairs else images.mean_pair()
    if pairs:
        pairs[0].sub_(middle)
    while len(pairs) < num_scales - 1:
        pairs.append(halve(pairs[-1]))
    if not share.is_whole:
        images = images.with_rows_below()
    bands = _Bands(images, middle)
    distances, gradients = [], []
    for scale in reversed(range(num_scales)):
        pair = share.below(pairs.pop(), MARGIN, scale) if scale > 0 else None
        size = (images.enhanced if pair is None else pair).shape[-2:]
        shape = (*images.enhanced.shape[:2], *size)
        gradient = torch.zeros(shape, dtype=images.dtype, device=images.enhanced.device)
        bright = scale == num_scales - 1
        distances.append(bands.distance(pair, gradient, bright=bright))
        gradients.append(share.returned(gradient, MARGIN, scale))
        del pair, gradient
    return share.add_up(torch.stack(distances[::-1])), gradients[::-1]


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

    def __init__(self, images: Images, middle: Tensor) -> None:
        self._images = images
        self._middle = middle  # subtracted, as variances are differences of squares
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
            band = self._images.pair(seen).sub_(self._middle) if pair is None else pair[:, :, seen]
            # the slopes have no name here, so that they are released while they are spread
            spread = self._blur.spread(self._slopes(band, sums, bright))
            of_sum, of_difference, of_means = spread.chunk(3, dim=1)
            total, difference = band.chunk(2, dim=1)
            part = gradient[:, :, seen].addcmul_(difference, of_sum, value=2)
            part.addcmul_(total, of_difference, value=-2).add_(of_means, alpha=2)
            del band, spread, of_sum, of_difference, of_means, total, difference
        if not sums:  # of a share that ends less than a window above the image's end
            return gradient.new_zeros(self._num, dtype=torch.float64)
        return torch.cat(sums, dim=-1).sum(dim=(0, -1))

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
        """Return what is to be spread: t_s, t_d, and the third map, shape (1, 3 M, H, W).

        Args:
            pair: Sum and difference, shape (1, 2 M, H + 10, W + 10).
            sums: List to append the distances to, summed along rows, shape (1, M, H).
            bright: Whether contrast-structure is multiplied by luminance.
        """
        means = self._blur.mean(pair)
        slopes = self._blur.mean(pair.square(), self._offset).addcmul_(means, means, value=-1)
        of_sum, of_difference = slopes.chunk(2, dim=1)
        spread = of_sum + of_difference
        both = slopes.view(2, *spread.shape[1:]).div_(spread)  # 1 - r and r
        light = self._light(means, of_difference) if bright else None
        sums.append(
            (of_difference if light is None else light.distance).sum(dim=-1, dtype=torch.float64)
        )
        both.div_(spread if light is None else spread.div_(light.luminance))
        mean, mean_difference = means.chunk(2, dim=1)
        of_means = (of_difference * mean).addcmul_(of_sum, mean_difference, value=-1)
        if light is not None:
            of_means.sub_(light.slope)
        del means, mean, mean_difference, spread, light
        return torch.cat([slopes, of_means], dim=1)

    def _light(self, means: Tensor, share: Tensor) -> "_Light":
        """Return what the luminance adds, from means of sum and difference and from r."""
        data_range = self._images.data_range
        total, difference = (means + self._middle).chunk(2, dim=1)
        tilt = difference / (total * total + difference * difference + 2 * (K1 * data_range) ** 2)
        dark = tilt * difference
        contrast = 1 - 2 * share
        return _Light(
            luminance=1 - 2 * dark,
            distance=share + dark * contrast,
            slope=contrast * tilt * ((total + difference) * tilt - 1),
        )


class _Light(NamedTuple):
    """What the luminance adds to a band; maps of shape (1, M, H, W).

    Args:
        luminance: The luminance, 1 - 2 p.
        distance: r + p - 2 r p.
        slope: Half of minus the derivative of the distance for the mean of x by p alone.
    """

    luminance: Tensor
    distance: Tensor
    slope: Tensor


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
