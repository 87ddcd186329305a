"""Laplacian pyramid of a radiograph of any size, exactly invertible.

The pyramid of Burt and Adelson [1] splits an image into details of one octave each: level 0 holds
what is about one or two pixels wide, level i what is 2**i times as wide. Each level is the
difference between an image and the blurred half-size image blown up again, so adding the levels
up in the opposite order gives the image back whatever the filter is; sizes need not be even.

    image --v-- half --v-- quarter ... residual        v: 5-tap blur [1 4 6 4 1]/16, every 2nd pixel
      |-up(half) |-up(quarter)                         up: the same filter, after inserting zeros
    level 0     level 1       ...

[1] P. Burt, E. Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun. 31, 1983
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Floating = TypeVar("Floating", np.float32, np.float64)

# The residual keeps at least 16 samples along the shorter side: broad density differences such as
# abdomen against thorax stay in it.
RESIDUAL_SIDE = 16


def num_levels(shape: tuple[int, int]) -> int:
    """Return the number of detail levels of a shape: 8 at 4188 x 4188, 1 at 32 x 32."""
    return max(0, int(math.log2(max(1, min(shape) / RESIDUAL_SIDE))))


def reduce(image: npt.NDArray[Floating]) -> npt.NDArray[Floating]:
    """Blur and halve an image: n pixels become (n + 1) // 2; borders reflect."""
    return np.asarray(cv2.pyrDown(image, borderType=cv2.BORDER_REFLECT_101), image.dtype)


def expand(image: npt.NDArray[Floating], shape: tuple[int, int]) -> npt.NDArray[Floating]:
    """Double an image to `shape`, the shape that `reduce` made it from."""
    rows, columns = shape
    return np.asarray(cv2.pyrUp(image, dstsize=(columns, rows)), image.dtype)


def gaussian(image: npt.NDArray[Floating], num: int) -> list[npt.NDArray[Floating]]:
    """Return the image, as the first entry, and its `num` successive halvings."""
    images = [image]
    for _ in range(num):
        images.append(reduce(images[-1]))
    return images


def decompose(image: npt.NDArray[Floating], num: int) -> list[npt.NDArray[Floating]]:
    """Split an image into `num` detail levels, finest first, and the residual.

    Args:
        image: The image, float32 or float64, shape (H, W).
        num: Number of detail levels, at most what `num_levels` returns.

    Returns:
        A list of `num + 1` arrays; `compose` adds them up to the image again.
    """
    images = gaussian(image, num)
    levels = []
    for fine, coarse in zip(images[:-1], images[1:], strict=True):
        levels.append(fine - expand(coarse, shape_of(fine)))
    levels.append(images[-1])
    return levels


def compose(levels: Sequence[npt.NDArray[Floating]]) -> npt.NDArray[Floating]:
    """Return the image that `decompose` split, to within rounding."""
    image = levels[-1]
    for detail in reversed(levels[:-1]):
        image = expand(image, shape_of(detail)) + detail
    return image


def shape_of(image: npt.NDArray[Floating]) -> tuple[int, int]:
    """Return the rows and columns of an image."""
    rows, columns = image.shape
    return rows, columns
