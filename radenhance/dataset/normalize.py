"""Stored values to [0, 1] and back, exactly.

The unit values are attenuation on a scale that the file *declares*: they do not depend on the
pixels' own minimum or maximum, so the same exposure always gives the same values. A detector that
is linear in intensity (LIN) is taken to the log domain, where thickness adds up and an exposure
factor is a shift (Beer-Lambert); one that is logarithmic already (LOG), and an image for
presentation, is only scaled.

With c a canonical pixel (more attenuation = higher) of `bits` bits and m = 2**bits - 1:

    LOG    unit = c / m
    LIN    unit = 1 - log(1 + m - c) / log(1 + m)        m - c is the intensity
"""

import numpy as np
import numpy.typing as npt

from radenhance.arrays import Floats, Image, Points
from radenhance.dataset.field import field_mask, find_field
from radenhance.dicom.radiograph import Radiograph, Relationship


def normalize(radiograph: Radiograph) -> Image:
    """Return the pixels of a radiograph as unit values, float32 in [0, 1]."""
    return to_unit(radiograph.pixels, bits=radiograph.bits, relationship=radiograph.relationship)


def exposed_field(radiograph: Radiograph, unit: Image) -> Points:
    """Return the corners of the exposed field, as `field.find_field` does.

    Args:
        radiograph: The radiograph.
        unit: The radiograph's unit values, as `normalize` returns them.
    """
    return find_field(unit, valid=radiograph.valid)


def intensity_range(radiograph: Radiograph, field: Points) -> tuple[float, float]:
    """Return the unit values at the 0.1 and 99.9 percentiles of the exposed field.

    Exposure, detector gain and a vendor's characteristic curve shift and stretch the logarithm of
    the intensity; stretching this range to [0, 1] undoes all of that. It is that of the whole
    image, so a crop does not change it, but not of what lies behind the collimator: lead is whiter
    than any bone and would leave the animal a dark rest of the range. The range of a constant image
    is that from 0 to 1.

    Args:
        radiograph: The radiograph.
        field: Corners of the radiograph's exposed field.
    """
    everywhere = np.ones(radiograph.shape, np.bool_)
    valid = everywhere if radiograph.valid is None else radiograph.valid
    inside = valid & field_mask(field, radiograph.shape)
    pixels = radiograph.pixels[inside if inside.any() else everywhere]
    counts = np.cumsum(np.bincount(pixels, minlength=radiograph.max_value + 1))
    ends = np.searchsorted(counts, counts[-1] * np.array([0.001, 0.999])).astype(np.uint16)
    low, high = to_unit(ends, bits=radiograph.bits, relationship=radiograph.relationship)
    return (float(low), float(high)) if low < high else (0.0, 1.0)


def to_unit(
    pixels: npt.NDArray[np.uint16], *, bits: int, relationship: Relationship = "LOG"
) -> Floats:
    """Return pixels as unit values, through a table of all stored values.

    Args:
        pixels: Canonical pixels, uint16, in [0, 2**bits - 1]; any shape.
        bits: Bits per pixel, 1 to 16.
        relationship: How the pixels relate to the X-ray intensity, as in Radiograph.

    Returns:
        The unit values, float32, in [0, 1]; same shape.
    """
    largest = (1 << bits) - 1
    values = np.arange(largest + 1, dtype=np.float64)
    if relationship == "LIN":
        table = 1 - np.log1p(largest - values) / np.log1p(largest)
    else:
        table = values / largest
    unit: Floats = table.astype(np.float32)[pixels]
    return unit


def to_stored(
    unit: npt.NDArray[np.floating], *, bits: int, relationship: Relationship = "LOG"
) -> npt.NDArray[np.uint16]:
    """Return unit values as pixels: the inverse of `to_unit`.

    Args:
        unit: Unit values, floating point; they are clipped to [0, 1]. Any shape.
        bits: Bits per pixel, 1 to 16.
        relationship: How the pixels relate to the X-ray intensity, as in Radiograph.

    Returns:
        Canonical pixels, uint16, in [0, 2**bits - 1]; same shape.
    """
    largest = (1 << bits) - 1
    clipped = np.clip(unit.astype(np.float64), 0, 1)
    if relationship == "LIN":
        stored = largest - np.expm1((1 - clipped) * np.log1p(largest))
    else:
        stored = clipped * largest
    rounded: npt.NDArray[np.uint16] = np.rint(stored).astype(np.uint16)
    return rounded


def exposure_shift(factor: float, *, bits: int) -> float:
    """Return what an exposure multiplied by `factor` adds to the unit values of a LIN image.

    Args:
        factor: The new exposure divided by the old one.
        bits: Bits per pixel of the image.
    """
    return float(-np.log(factor) / np.log1p((1 << bits) - 1))
