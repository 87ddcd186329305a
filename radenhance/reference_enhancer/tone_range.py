"""The tone range: the attenuations that air and anatomy span, scaled to about [0, 1].

The gains of the enhancer depend on contrasts as parts of the anatomy's range. That range must not
depend on how much lead or steel happens to be in the field: a limb may span a fifth of what the
marker beside it does.
"""

import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer.air import air_levels, thumbnail
from radenhance.reference_enhancer.presets import Preset
from radenhance.reference_enhancer.tone import percentiles

MIN_RANGE = 1e-4  # less than 7 steps of 16 bits: no image
DENSE_PERCENTILE = 95.0
HEADROOM = 1.5  # for the densest bone, over the DENSE_PERCENTILE of what is not air
MIN_PATIENT = 0.01  # of the field
METAL_SLOPE = 0.25  # of what lies above the range: implants keep their shape, but not their edge


def find_tone_range(attenuation: Image, field: Mask, preset: Preset) -> tuple[float, float] | None:
    """Find the ends of the range of attenuation that air and anatomy span.

    Args:
        attenuation: Attenuation in [0, 1], float32, shape (H, W).
        field: The exposed field, bool, same shape.
        preset: The low and high percentile.

    Returns:
        The pair (low, high), or None if the field is constant.
    """
    low, high = percentiles(attenuation, field, (preset.low_percentile, preset.high_percentile))
    if high - low < MIN_RANGE:
        low, high = percentiles(attenuation, field, (0, 100))
    if high - low < MIN_RANGE:
        return None
    small, inside = thumbnail(attenuation, field)
    values = (small[inside] - np.float32(low)) / np.float32(high - low)
    patient = values[values > next(iter(air_levels(values)), 0)]
    if patient.size < MIN_PATIENT * values.size:
        return low, high
    dense = float(np.percentile(patient, DENSE_PERCENTILE))
    return low, low + min(1.0, HEADROOM * dense) * (high - low)


def scale_to_range(attenuation: Image, low: float, high: float) -> Image:
    """Scale [low, high] to [0, 1]; clip below it and compress above it."""
    image: Image = attenuation - np.float32(low)
    image *= np.float32(1 / (high - low))
    np.maximum(image, 0, out=image)
    if image.max() > 1:
        above = np.maximum(image - 1, 0)
        above *= np.float32(1 - METAL_SLOPE)
        image -= above
    return image
