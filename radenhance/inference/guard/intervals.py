"""How far a pixel of the output may be off: intervals that contain the target of 9 pixels in 10.

A width that follows the image (where the network changes much, and where much changes around) is
multiplied by the factor with which the intervals cover their share of the pixels of validation
images, each image counting alike: the conformal step of im2im-uq (arXiv 2202.05265), with a width
that needs no second output of the network.

The factor is the share's quantile and no upper bound of it. A bound that holds with the images of
one clinic, some dozen, covers nearly everything, which is no information either.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from radenhance.arrays import Floats, Image, Mask
from radenhance.inference.guard.bands import on_grid

COVERED = 0.9
"""Share of the target's pixels that intervals cover."""
LEAST_WIDTH = 0.02
"""Part of a width that does not depend on the image, in unit values."""
AROUND_MM = 2.0
"""Standard deviation of the window in which change is measured, in mm."""
SAMPLE = 20_000
"""Pixels of an image that its errors are taken of."""


def widths(source: Image, enhanced: Image, spacing_mm: float) -> Image:
    """Return half-widths before the factor, at the pixels of `on_grid`.

    Args:
        source: The image as the network saw it.
        enhanced: The output, same shape.
        spacing_mm: Pixel size in mm.
    """
    small, shown = (on_grid(image, spacing_mm) for image in (source, enhanced))
    sigma = AROUND_MM / max(spacing_mm * source.shape[0] / small.shape[0], 1e-3)
    mean = _around(shown, sigma)
    spread = cv2.sqrt(np.maximum(_around(shown**2, sigma) - mean**2, 0))
    changed = np.abs(_around(shown - small, sigma))
    return np.asarray(np.float32(LEAST_WIDTH) + spread + 0.25 * changed, np.float32)


def errors(width: Image, enhanced: Image, target: Image, inside: Mask | None = None) -> Floats:
    """Return errors of some pixels in units of their width.

    Args:
        width: What `widths` returned.
        enhanced: The output.
        target: The target, same shape.
        inside: The pixels that count, same shape; None for all.
    """
    rows, columns = np.nonzero(np.ones(target.shape, bool) if inside is None else inside)
    some = slice(None, None, max(len(rows) // SAMPLE, 1))
    rows, columns = rows[some], columns[some]
    scale = np.divide(width.shape, target.shape)
    at = (rows * scale[0]).astype(int), (columns * scale[1]).astype(int)
    off = np.abs(target[rows, columns] - enhanced[rows, columns])
    return np.asarray(off / width[at], np.float32)


def factor(images: Iterable[Floats], covered: float = COVERED) -> float:
    """Return the factor with which intervals cover a share of the pixels, images counting alike.

    Args:
        images: The errors of each image.
        covered: The share.
    """
    levels = np.linspace(0, 1, 2001)
    values = np.sort(np.concatenate([np.quantile(image, levels) for image in images]))
    return float(values[min(int(np.ceil(covered * len(values))), len(values) - 1)])


def _around(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
