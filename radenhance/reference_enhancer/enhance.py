"""The conventional enhancer that makes training targets.

It compresses the broad density differences of a radiograph and amplifies faint structures of every
size, so that lung, mediastinum, bone and soft tissue can be read in one image:

    field -> tone range -> fill outside -> amplify -> tone -> black air and shutter

A target pixel depends on the whole image: percentiles, and structures a quarter of the image wide.
What each parameter does, and what the enhancer cannot do: docs/reference/reference_enhancer.md.
"""

import math

import numpy as np

from radenhance.arrays import Image, Mask, Points
from radenhance.dataset.field import field_mask, find_field
from radenhance.errors import ImageSizeError, ParameterError, RadiographError
from radenhance.reference_enhancer.air import blacken_air, find_air
from radenhance.reference_enhancer.amplify import amplify
from radenhance.reference_enhancer.field import fill_outside, find_anatomy, shutter
from radenhance.reference_enhancer.presets import ALGORITHM, PRESETS, Preset
from radenhance.reference_enhancer.tone import apply_tone
from radenhance.reference_enhancer.tone_range import find_tone_range, scale_to_range

__all__ = ["ALGORITHM", "PRESETS", "Preset", "enhance"]


MIN_SIDE = 32


def enhance(
    attenuation: Image,
    *,
    valid: Mask | None = None,
    spacing_mm: float | tuple[float, float] | None = None,
    preset: str | Preset = "default",
    corners: Points | None = None,
) -> Image:
    """Enhance a radiograph.

    Args:
        attenuation: Image in [0, 1], affine in log attenuation (bone is bright); float32, shape
            (H, W), of 32 pixels or more on each side.
        valid: Pixels that show the image, bool, same shape; None means all. Collimator edges are
            looked for in either case.
        spacing_mm: Distance of pixel centres, or of (rows, columns), in millimetres. It decides how
            many pixels wide the structures are that gain most; None counts as 0.1.
        preset: A name of PRESETS, or other parameters.
        corners: Corners of the exposed field, as `find_field` returns them; None has it found.

    Returns:
        The enhanced image in [0, 1], float32, shape (H, W); 0 outside the field, in air, and
        everywhere if the image is constant.

    Raises:
        ImageSizeError: The image is smaller than 32 pixels on a side, or the mask does not fit it.
        RadiographError: The values are not numbers in [0, 1], no pixel is valid, or the spacing is
            not positive.
        ParameterError: There is no preset of that name.
    """
    parameters = _preset(preset)
    _check(attenuation, valid)
    attenuation = np.ascontiguousarray(attenuation)
    field = _exposed_field(attenuation, valid, corners, find_collimator=parameters.find_collimator)
    tone_range = find_tone_range(attenuation, field, parameters)
    if tone_range is None:
        return np.zeros(attenuation.shape, np.float32)
    image = fill_outside(scale_to_range(attenuation, *tone_range), field)
    enhanced = amplify(image, field, parameters, spacing_mm=_mean_spacing(spacing_mm))
    air = find_air(image, field)
    apply_tone(enhanced, find_anatomy(image, field, air), parameters)
    if air is not None:
        blacken_air(enhanced, image, air)
    if not field.all():
        enhanced *= shutter(field, feather_px=parameters.feather_px)
    return enhanced


def _preset(preset: str | Preset) -> Preset:
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ParameterError("preset", got=preset, expected=f"one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def _check(attenuation: Image, valid: Mask | None) -> None:
    if attenuation.ndim != 2 or min(attenuation.shape) < MIN_SIDE:
        raise ImageSizeError(
            f"the image has shape {attenuation.shape}, expected (H, W) of {MIN_SIDE} pixels or more"
        )
    if attenuation.dtype != np.float32:
        raise RadiographError(
            f"attenuation is {attenuation.dtype}, expected float32 in [0, 1]; use "
            "radenhance.dataset.normalize"
        )
    low, high = float(attenuation.min()), float(attenuation.max())
    if not (low >= 0 and high <= 1):
        raise RadiographError(
            f"attenuation runs from {low:g} to {high:g}, expected numbers in [0, 1]; use "
            "radenhance.dataset.normalize"
        )
    if valid is not None and valid.shape != attenuation.shape:
        raise ImageSizeError(
            f"the valid mask has shape {valid.shape}, expected {attenuation.shape} as the image"
        )
    if valid is not None and not valid.any():
        raise RadiographError(
            "no pixel of the image is valid; check its shutter, collimator and padding tags"
        )


def _exposed_field(
    attenuation: Image, valid: Mask | None, corners: Points | None, *, find_collimator: bool
) -> Mask:
    everywhere = (
        np.ones(attenuation.shape, np.bool_)
        if valid is None
        else np.ascontiguousarray(valid, np.bool_)
    )
    if not find_collimator:
        return everywhere
    found = find_field(attenuation, valid=everywhere) if corners is None else corners
    field = everywhere & field_mask(found, attenuation.shape)
    return field if field.any() else everywhere


def _mean_spacing(spacing_mm: float | tuple[float, float] | None) -> float | None:
    if spacing_mm is None:
        return None
    mean = math.sqrt(math.prod(spacing_mm)) if isinstance(spacing_mm, tuple) else spacing_mm
    if not mean > 0:
        raise RadiographError(
            f"pixel spacing is {spacing_mm}, expected millimetres above 0, or None if unknown"
        )
    return mean
