"""What an enhancer must beat: doing nothing, one tone curve for all pixels, and CLAHE.

A raw radiograph resembles its target already (SSIM 0.8 and more), so a figure of merit means
something only beside those of the baselines.
"""

from collections.abc import Callable

import cv2
import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer.presets import Preset
from radenhance.reference_enhancer.tone import apply_tone, percentiles

CLIP_LIMIT = 2.0
NUM_TILES = 8


def identity(attenuation: Image, *, valid: Mask | None = None) -> Image:
    """Return the radiograph as it is.

    Args:
        attenuation: Attenuation in [0, 1], float32, shape (H, W).
        valid: An argument that all baselines have; this one ignores it.
    """
    del valid
    return attenuation.copy()


def tone_curve(attenuation: Image, *, valid: Mask | None = None) -> Image:
    """Apply one tone curve to every pixel: percentiles and gamma of the default preset.

    Args:
        attenuation: Attenuation in [0, 1], float32, shape (H, W).
        valid: Pixels of which the percentiles are taken, bool, same shape; None takes all.
    """
    where = np.ones(attenuation.shape, np.bool_) if valid is None else valid
    return apply_tone(attenuation.copy(), where, Preset())


def clahe(attenuation: Image, *, valid: Mask | None = None) -> Image:
    """Equalize the histogram adaptively with limited contrast: 8 x 8 tiles, clip limit 2.

    K. Zuiderveld, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994.

    Args:
        attenuation: Attenuation in [0, 1], float32, shape (H, W).
        valid: Pixels of which the range is taken, bool, same shape; None takes all.
    """
    where = np.ones(attenuation.shape, np.bool_) if valid is None else valid
    preset = Preset()
    low, high = percentiles(attenuation, where, (preset.low_percentile, preset.high_percentile))
    unit = np.clip((attenuation - low) / max(high - low, 1e-6), 0, 1)
    equalizer = cv2.createCLAHE(CLIP_LIMIT, (NUM_TILES, NUM_TILES))
    equalized = equalizer.apply(np.rint(unit * 65535).astype(np.uint16))
    return np.asarray(equalized, np.float32) / np.float32(65535)


BASELINES: dict[str, Callable[..., Image]] = {
    "identity": identity,
    "tone_curve": tone_curve,
    "clahe": clahe,
}
