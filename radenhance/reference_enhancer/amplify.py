"""Amplification of faint structures of every size, without amplifying noise.

Each level d of the Laplacian pyramid is multiplied by a gain that falls with its own magnitude, so
faint structures gain most and strong edges, where overshoot would show as a halo, gain least:

    y = d * G * max(|d|, core)**(p - 1) / unit**(p - 1)

This is the power law of Vuylsteke and Schoeters (SPIE 2167, 1994) with a linear core. In the finest
levels the gain is faded in only where the local contrast exceeds the noise. Noise depends on the
exposure, in log attenuation the more the denser the part, so it is measured for each brightness:
as a low quantile of the local contrast, since some of every tissue shows nothing but noise.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer import pyramid
from radenhance.reference_enhancer.presets import Preset

REFERENCE_SPACING_MM = 0.1  # of the first entry of Preset.octave_gains
CONTRAST_SIGMA_PX = 2.0
NUM_TONES = 32
NOISE_QUANTILE = 0.25
# The 25th percentile of the root mean square of white noise in a Gaussian window of sigma 2, as a
# part of its standard deviation.
QUANTILE_OF_NOISE = 0.92
MIN_SAMPLES = 100
MAX_SAMPLES = 1 << 20


def amplify(image: Image, field: Mask, preset: Preset, *, spacing_mm: float | None = None) -> Image:
    """Amplify an image level by level.

    Args:
        image: Attenuation in [0, 1], float32, shape (H, W); filled smoothly outside the field.
        field: Pixels at which noise is measured, bool, same shape.
        preset: The gains and the noise gate.
        spacing_mm: Distance of pixel centres in millimetres; None counts as 0.1.

    Returns:
        The amplified image, float32, shape (H, W), with about the range of `image`.
    """
    num = pyramid.num_levels(pyramid.shape_of(image))
    gains = level_gains(num, preset, spacing_mm)
    images = pyramid.gaussian(image, num)
    residual = images[num]
    mean = residual.mean()
    result: Image = mean + np.float32(preset.residual_gain) * (residual - mean)
    for i in reversed(range(num)):
        fine, coarse = images[i], images.pop()
        shape = pyramid.shape_of(fine)
        detail = fine - pyramid.expand(coarse, shape)
        factor = power_gain(detail, gains[i], preset)
        if i < preset.num_noisy_levels:
            gate = noise_gate(detail, fine, field[:: 1 << i, :: 1 << i], preset)
            factor -= 1
            factor *= gate
            factor += 1
            del gate
        detail *= factor
        del factor
        result = pyramid.expand(result, shape)
        result += detail
    return result


def level_gains(num: int, preset: Preset, spacing_mm: float | None) -> list[float]:
    """Return the gain G of each of `num` pyramid levels: that of the octave its pixels span."""
    shift = 0.0 if spacing_mm is None else math.log2(spacing_mm / REFERENCE_SPACING_MM)
    octaves = np.arange(len(preset.octave_gains))
    return [float(np.interp(i + shift, octaves, preset.octave_gains)) for i in range(num)]


def power_gain(detail: Image, gain: float, preset: Preset) -> Image:
    """Return the factor of each value of a level; it is `gain` at `preset.unit_contrast`."""
    factor = np.abs(detail)
    factor *= np.float32(1 / preset.unit_contrast)
    np.maximum(factor, np.float32(preset.core_contrast / preset.unit_contrast), out=factor)
    cv2.pow(factor, preset.power - 1, dst=factor)
    factor *= np.float32(gain)
    return factor


def noise_gate(detail: Image, image: Image, field: Mask, preset: Preset) -> Image:
    """Return the weight of a level's gain: 0 where the local contrast is noise, 1 well above it.

    Args:
        detail: A level of the pyramid, float32, shape (H, W).
        image: The image that level was taken from, in [0, 1], same shape.
        field: Pixels at which noise is measured, bool, same shape.
        preset: The onset and width of the gate, in standard deviations of the noise.
    """
    contrast = local_contrast(detail)
    tones = np.asarray(cv2.convertScaleAbs(image, alpha=255), np.uint8)
    noise = noise_by_tone(contrast, tones, field)
    contrast /= np.asarray(cv2.LUT(tones, noise))
    contrast -= np.float32(preset.noise_onset)
    contrast *= np.float32(1 / preset.noise_width)
    return np.clip(contrast, 0, 1, out=contrast)


def local_contrast(detail: Image) -> Image:
    """Return the root mean square of a level in a Gaussian window of 2 pixels."""
    square = detail * detail
    cv2.GaussianBlur(square, (0, 0), CONTRAST_SIGMA_PX, dst=square)
    np.sqrt(square, out=square)
    return square


def noise_by_tone(contrast: Image, tones: npt.NDArray[np.uint8], field: Mask) -> Image:
    """Return the standard deviation of the noise at each of 256 brightnesses.

    Only every n-th pixel is used, with n such that a million remain; brightnesses that are rare
    take the value of their neighbours.
    """
    stride = max(1, math.isqrt(contrast.size // MAX_SAMPLES))
    samples = (slice(None, None, stride),) * 2
    seen = field[samples]
    values, bins = contrast[samples][seen], tones[samples][seen] // (256 // NUM_TONES)
    centres, noise = [], []
    for i in range(NUM_TONES):
        chosen = values[bins == i]
        if len(chosen) >= MIN_SAMPLES:
            centres.append((i + 0.5) * (256 / NUM_TONES))
            noise.append(np.quantile(chosen, NOISE_QUANTILE) / QUANTILE_OF_NOISE)
    if not noise:
        centres, noise = [0.0], [np.quantile(values, NOISE_QUANTILE) if len(values) else 0.0]
    table = np.interp(np.arange(256), centres, noise)
    return np.asarray(np.maximum(table, 1e-6), np.float32)
