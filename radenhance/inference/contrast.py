"""Contrast of an image in numbers, in regions that its target defines.

No one draws regions by hand, and no method has regions of its own: what is compared is the same
pixels. More contrast is not better in itself, as noise has contrast too. What a target has is what
was wanted; docs/how-to/evaluate.md says how to read the two.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image, Mask
from radenhance.dataset.outside_field import BLACK

BLOCKS = 32
"""Blocks of EME along the shorter side of an image."""

LEAST_BLOCK = 4
"""Least side of a block, in pixels."""

GREYS = 255
"""Largest grey value of the 8-bit scale on which EME is taken, above the 1 that black counts."""


@dataclass(frozen=True)
class Regions:
    """Where contrast is measured, by the target of an image.

    Args:
        dense: Pixels of the exposed field that the target shows bright, bool, shape (H, W).
        thin: Those that it shows dark.
        blocks: Blocks of `side` pixels in which the target is nowhere black, nor outside the field.
        side: Side of a block in pixels.
    """

    dense: Mask
    thin: Mask
    blocks: npt.NDArray[np.bool_]
    side: int


def regions_of(target: Image, field: Mask) -> Regions:
    """Return the regions of a target.

    Bright and dark are told apart by the threshold of Otsu, "A threshold selection method from
    gray-level histograms" (IEEE Trans. SMC 9, 1979): thick or dense anatomy, and what is thin, or
    air.

    Args:
        target: The target, in [0, 1].
        field: Pixels of the exposed field.
    """
    greys = np.rint(target * GREYS).astype(np.uint8)
    inside = greys[field]
    threshold = cv2.threshold(inside, 0, 1, cv2.THRESH_OTSU)[0] if inside.size else 0
    dense = field & (greys > threshold)
    side = max(min(target.shape) // BLOCKS, LEAST_BLOCK)
    blocks = np.all(_in_blocks(field & (target > BLACK), side), axis=(1, 3))
    return Regions(dense, field & ~dense, blocks, side)


def cnr(image: Image, regions: Regions) -> float:
    """Return the contrast-to-noise ratio of dense and thin regions, 0 or more.

    It is the difference of their means, divided by the root of the sum of their variances
    (Patterson and Foster, "The improvement and quantitative assessment of B-mode images produced by
    an annular array/cone hybrid", Ultrasonic Imaging 5, 1983). Variance is that of anatomy as well
    as that of noise. It is 0 where one region is empty or nothing varies.

    Args:
        image: The image, in [0, 1].
        regions: Those of its target.
    """
    dense, thin = image[regions.dense], image[regions.thin]
    if not (dense.size and thin.size):
        return 0.0
    spread = np.sqrt(dense.var(dtype=np.float64) + thin.var(dtype=np.float64))
    difference = abs(dense.mean(dtype=np.float64) - thin.mean(dtype=np.float64))
    return float(difference / spread) if spread > 0 else 0.0


def eme(image: Image, regions: Regions) -> float:
    """Return the measure of enhancement EME in decibels, 0 or more.

    It is the mean over blocks of 20 log10(max / min) (Agaian, Silver and Panetta, "Transform
    coefficient histogram-based image enhancement algorithms using contrast entropy", IEEE Trans.
    Image Processing 16, 2007). Grey values are those of 8 bits and 1, so that black has a
    logarithm. It is 0 where no block lies in the anatomy.

    Args:
        image: The image, in [0, 1].
        regions: Those of its target.
    """
    if not regions.blocks.any():
        return 0.0
    blocks = _in_blocks(image, regions.side)
    highest, lowest = (GREYS * end(axis=(1, 3)) + 1 for end in (blocks.max, blocks.min))
    decibels = 20 * np.log10(highest / lowest)
    return float(decibels[regions.blocks].mean(dtype=np.float64))


def _in_blocks(image: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Return an image as (rows, side, columns, side), without what does not fill a block."""
    rows, columns = (length // side for length in image.shape)
    return image[: rows * side, : columns * side].reshape(rows, side, columns, side)
