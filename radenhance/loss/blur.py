"""The Gaussian window of SSIM over stacks of maps, and its transpose, as a device is quick at it.

On a GPU a blur is two convolutions of each map by itself, each one pass over memory and one kernel.
On a CPU it is eleven additions along each side: of a band of rows that stays in the cache they are
many times as fast as the convolution of few maps is. Neither multiplies matrices, so that a GPU's
TensorFloat-32 does not round them.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

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
    """Blurs maps of shape (1, maps, H, W)."""

    def mean(self, maps: Tensor) -> Tensor:
        """Return the Gaussian mean of every full window, shape (1, maps, H - 10, W - 10)."""

    def spread(self, maps: Tensor) -> Tensor:
        """Return every value spread over its window, shape (1, maps, H + 10, W + 10)."""


def blur_for(image: Tensor, num_maps: int, dtype: torch.dtype) -> Blur:
    """Return what blurs maps where an image is.

    A plan on fake tensors is that of a GPU, whatever device they are on.

    Args:
        image: Image on the device.
        num_maps: Most maps of a stack.
        dtype: Type of the maps.
    """
    if image.device.type == "cpu" and not isinstance(image, FakeTensor):
        return Additions()
    return Convolutions(torch.tensor(WINDOW, dtype=dtype, device=image.device), num_maps)


class Additions:
    """Eleven additions along each side."""

    def mean(self, maps: Tensor) -> Tensor:
        """Return the Gaussian mean of every full window."""
        for dim in (3, 2):
            size = maps.shape[dim] - MARGIN
            total = maps.narrow(dim, 0, size) * WINDOW[0]
            for offset in range(1, WINDOW_SIZE):
                total.add_(maps.narrow(dim, offset, size), alpha=WINDOW[offset])
            maps = total
        return maps

    def spread(self, maps: Tensor) -> Tensor:
        """Return every value spread over its window."""
        for dim in (2, 3):
            shape = list(maps.shape)
            shape[dim] += MARGIN
            total = maps.new_zeros(shape)
            for offset, weight in enumerate(WINDOW):
                total.narrow(dim, offset, maps.shape[dim]).add_(maps, alpha=weight)
            maps = total
        return maps


class Convolutions:
    """A convolution along each side.

    Args:
        window: The window, shape (11,).
        num_maps: Most maps of a stack.
    """

    def __init__(self, window: Tensor, num_maps: int) -> None:
        self._rows = window.repeat(num_maps, 1, 1, 1)
        self._columns = self._rows.view(num_maps, 1, WINDOW_SIZE, 1)

    def mean(self, maps: Tensor) -> Tensor:
        """Return the Gaussian mean of every full window."""
        return self._convolved(maps, 0)

    def spread(self, maps: Tensor) -> Tensor:
        """Return every value spread over its window, which is symmetric: a blur amid zeros."""
        return self._convolved(maps, MARGIN)

    def _convolved(self, maps: Tensor, zeros: int) -> Tensor:
        num = maps.shape[1]
        maps = F.conv2d(maps, self._rows[:num], padding=(0, zeros), groups=num)
        return F.conv2d(maps, self._columns[:num], padding=(zeros, 0), groups=num)
