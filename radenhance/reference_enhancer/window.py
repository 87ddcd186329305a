"""The range of attenuation that matters, and its scaling to about [0, 1].

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


def find_window(attenuation: Image, field: Mask, preset: Preset) -> tuple[float, float] | None:
    """Finds the ends of the range of attenuation that air and anatomy span.

    Args:
        attenuation: Float32, shape (H, W), in [0, 1].
        field: The exposed field.
        preset: Its percentiles.

    Returns:
        (low, high), or None if the field is all alike.
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


def apply_window(attenuation: Image, low: float, high: float) -> Image:
    """Scales [low, high] to [0, 1]; cuts below, compresses above."""
    image: Image = attenuation - np.float32(low)
    image *= np.float32(1 / (high - low))
    np.maximum(image, 0, out=image)
    if image.max() > 1:
        above = np.maximum(image - 1, 0)
        above *= np.float32(1 - METAL_SLOPE)
        image -= above
    return image
