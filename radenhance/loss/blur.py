"""The Gaussian window of SSIM over stacks of maps, and its transpose, as a device is quick at it.

On a GPU a blur is two convolutions of each map by itself, each one pass over memory and one kernel.
On a CPU it is eleven additions along each side: of a band of rows that stays in the cache they are
many times as fast as the convolution of few maps is. Neither multiplies matrices, so that a GPU's
TensorFloat-32 does not round them.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.compat.torch import FakeTensor
from radenhance.loss.ms_ssim import WINDOW_SIGMA, WINDOW_SIZE

_BELLS = [
    math.exp(-((i - WINDOW_SIZE // 2) ** 2) / (2 * WINDOW_SIGMA**2)) for i in range(WINDOW_SIZE)
]
WINDOW = [bell / sum(_BELLS) for bell in _BELLS]
"""The Gaussian window of `ms_ssim.gaussian_window`, as numbers."""

MARGIN = WINDOW_SIZE - 1
"""Rows, and columns, by which a blurred map is smaller."""


class Blur(Protocol):
    """Blurs stacks of maps, shape (1, maps, H, W)."""

    band_pixels: int
    """Pixels of a band of rows at least."""
    most_bands: int
    """Bands of an image at most."""

    def mean(self, maps: Tensor, offset: Tensor | None = None) -> Tensor:
        """Return the Gaussian mean of every full window, shape (1, maps, H - 10, W - 10).

        Args:
            maps: Maps; the caller gives them up if nothing else holds them.
            offset: Number to add to each map, shape (maps,).
        """

    def spread(self, maps: Tensor) -> Tensor:
        """Return every value spread over its window, shape (1, maps, H + 10, W + 10)."""


def blur_for(image: Tensor, stacks: Sequence[int], dtype: torch.dtype) -> Blur:
    """Return what blurs maps on the device of an image.

    A plan on fake tensors is that of a GPU, whatever device they say.

    Args:
        image: Image on the device.
        stacks: Numbers of maps that stacks have.
        dtype: Type of the maps.
    """
    if image.device.type == "cpu" and not isinstance(image, FakeTensor):
        return Additions()
    return Convolutions(stacks, image.new_tensor(WINDOW, dtype=dtype))


class Additions:
    """Eleven additions along each side, of bands that stay in a cache."""

    band_pixels = 2**17
    most_bands = 64

    def mean(self, maps: Tensor, offset: Tensor | None = None) -> Tensor:
        """Return the Gaussian mean of every full window."""
        for dim in (3, 2):
            size = maps.shape[dim] - MARGIN
            total = maps.narrow(dim, 0, size) * WINDOW[0]
            for place in range(1, WINDOW_SIZE):
                total.add_(maps.narrow(dim, place, size), alpha=WINDOW[place])
            maps = total
        return maps if offset is None else maps.add_(offset[:, None, None])

    def spread(self, maps: Tensor) -> Tensor:
        """Return every value spread over its window."""
        for dim in (2, 3):
            shape = list(maps.shape)
            shape[dim] += MARGIN
            total = maps.new_zeros(shape)
            for place, weight in enumerate(WINDOW):
                total.narrow(dim, place, maps.shape[dim]).add_(maps, alpha=weight)
            maps = total
        return maps


class Convolutions:
    """A convolution along each side.

    Bands are few, for starting an operator takes longer than its data of a small band. A band of
    the loss has eight maps at a time: of one in 13, they and the gradients of all scales are two
    maps of the image.

    Args:
        stacks: Numbers of maps that stacks have.
        window: The window, shape (11,).
    """

    band_pixels = 2**18
    most_bands = 13

    def __init__(self, stacks: Sequence[int], window: Tensor) -> None:
        rows = window.repeat(max(stacks), 1, 1, 1)
        columns = rows.view(-1, 1, WINDOW_SIZE, 1)
        self._windows = {num: (rows[:num], columns[:num]) for num in stacks}

    def mean(self, maps: Tensor, offset: Tensor | None = None) -> Tensor:
        """Return the Gaussian mean of every full window."""
        num = maps.shape[1]
        row, column = self._windows[num]
        maps = F.conv2d(maps, row, groups=num)
        return F.conv2d(maps, column, offset, groups=num)

    def spread(self, maps: Tensor) -> Tensor:
        """Return every value spread over its window, which is symmetric: a blur amid zeros."""
        num = maps.shape[1]
        row, column = self._windows[num]
        maps = F.conv2d(maps, column, padding=(MARGIN, 0), groups=num)
        return F.conv2d(maps, row, padding=(0, MARGIN), groups=num)
