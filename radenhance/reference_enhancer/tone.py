"""Percentiles of large images, and the tone curve of the reference enhancer."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer.presets import Preset

NUM_BINS = 1 << 16


def percentiles(image: Image, mask: Mask, percents: Sequence[float]) -> list[float]:
    """Return percentiles of the pixels under a mask, to 1/65536 of their range.

    They come from a histogram: sorting 17 million pixels takes six times as long, and a copy.

    Args:
        image: Finite values, float32, shape (H, W).
        mask: The pixels to count, bool, same shape, at least one of them True.
        percents: The percentiles wanted, each in [0, 100].
    """
    flags = mask.view(np.uint8)
    low, high, _, _ = cv2.minMaxLoc(image, flags)
    if high <= low:
        return [low] * len(percents)
    top = high + (high - low) / NUM_BINS  # the upper end of cv2's range is exclusive
    counts = cv2.calcHist([image], [0], flags, [NUM_BINS], [low, top])
    below = np.concatenate(([0], np.cumsum(counts, dtype=np.float64)))
    edges = np.linspace(low, top, NUM_BINS + 1)
    found = np.interp(np.asarray(percents) / 100 * below[-1], below, edges)
    return [float(value) for value in found]


def apply_tone(image: Image, anatomy: Mask, preset: Preset) -> Image:
    """Map an amplified image to brightness, so that the anatomy fills [0, 1].

    y = t**gamma with t the position between the anatomy's black and white percentile, and gamma
    such that its median becomes `preset.middle`; the brightest part is bent, not cut.

    Args:
        image: The amplified image, float32, shape (H, W); it is overwritten.
        anatomy: Pixels that show the patient, bool, same shape.
        preset: The percentiles, the middle, the range of gammas and the shoulder.

    Returns:
        The brightness in [0, 1], float32, shape (H, W).
    """
    black, median, white = percentiles(
        image, anatomy, (preset.black_percentile, 50, preset.white_percentile)
    )
    extent = max(white - black, 1e-6)
    image -= np.float32(black)
    image *= np.float32(1 / extent)
    np.maximum(image, 0, out=image)
    cv2.pow(image, gamma((median - black) / extent, preset), dst=image)
    return compress_highlights(image, start=preset.shoulder)


def compress_highlights(image: Image, *, start: float) -> Image:
    """Bend what is above `start` so that it only nears 1, in place: dense bone keeps detail.

    y = start + (1 - start) * (1 - exp(-(t - start) / (1 - start))), which goes on at slope 1.
    """
    if start >= 1:
        return np.minimum(image, 1, out=image)
    np.minimum(image, np.float32(start + 16 * (1 - start)), out=image)  # more would be rounded off
    height = image - np.float32(start)
    np.maximum(height, 0, out=height)
    image -= height
    height *= np.float32(-1 / (1 - start))
    np.expm1(height, out=height)
    height *= np.float32(start - 1)
    image += height
    return np.minimum(image, 1, out=image)


def gamma(median: float, preset: Preset) -> float:
    """Return the exponent in `preset.gammas` that takes `median`, in [0, 1], to `preset.middle`."""
    wanted = math.log(preset.middle) / math.log(min(max(median, 0.05), 0.95))
    low, high = preset.gammas
    return min(max(wanted, low), high)
