"""The pixels of one file as training takes them: decoded, at native size or resampled.

At native size they stay the whole numbers of the file, and only the part that is asked for is
normalized: of a memory-mapped image that part alone is read from the disk. Resampled they are
normalized float32, because means over an area are no whole numbers any more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image, Points
from radenhance.dataset.field import FieldWeights, fills
from radenhance.dataset.normalize import exposed_field, intensity_range, normalize, to_unit
from radenhance.dataset.resample import resample
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Radiograph, Relationship
from radenhance.dicom.read import read

ImageSize = int | Literal["native"]


@dataclass(frozen=True)
class Decoded:
    """A decoded file; `decoded[rows, columns]` are unit values, float32 in [0, 1].

    Args:
        pixels: Canonical pixels, uint16, at native size; or unit values, float32, after resampling.
            Shape (H, W), in memory or on the disk.
        bits: Declared bits per pixel of the file.
        relationship: How pixels relate to the X-ray intensity, as in Radiograph.
        intensity_range: The unit values that become 0 and 1 in what the network sees: those at the
            0.1 and 99.9 percentiles of the exposed field of the whole image; 0 and 1 for
            presentation.
        valid: First row, first column, last row + 1 and last column + 1 of the valid area.
        native_shape: Number of rows and columns of the file.
        field: Corners (x, y) of the exposed field in pixels of the file; None where it is the whole
            image, or was not found, or not looked for, as in a target.
    """

    pixels: npt.NDArray[np.uint16] | Image
    bits: int
    relationship: Relationship
    intensity_range: tuple[float, float]
    valid: tuple[int, int, int, int]
    native_shape: tuple[int, int]
    field: tuple[tuple[float, float], ...] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of `pixels`."""
        rows, columns = self.pixels.shape
        return rows, columns

    def __getitem__(self, area: tuple[slice, slice]) -> Image:
        """Return the unit values of some rows and columns as a new array."""
        pixels: npt.NDArray[Any] = np.array(self.pixels[area])
        if pixels.dtype != np.uint16:
            return pixels
        return to_unit(pixels, bits=self.bits, relationship=self.relationship)

    @property
    def field_weights(self) -> FieldWeights:
        """How much of each of `pixels` is in the exposed field."""
        corners = np.array(self.field or [], np.float64).reshape(-1, 2)
        return FieldWeights(corners, self.native_shape, self.shape)


def decode(
    path: Path, *, declaration: Declaration, for_presentation: bool, image_size: ImageSize
) -> Decoded:
    """Decode a file.

    Args:
        path: The file.
        declaration: What the user declares about it.
        for_presentation: Whether to apply the VOI LUT, as for targets; their intensity range is
            that of the scale.
        image_size: The shorter side in pixels after resampling, or native for none.

    Raises:
        RadiographError: The file cannot be read.
    """
    radiograph = read(path, declaration=declaration, for_presentation=for_presentation)
    return decoded(radiograph, for_presentation=for_presentation, image_size=image_size)


def decoded(
    radiograph: Radiograph, *, for_presentation: bool = False, image_size: ImageSize = "native"
) -> Decoded:
    """Return a radiograph that was read as `decode` does.

    Args:
        radiograph: The radiograph.
        for_presentation: Whether it was read for presentation.
        image_size: The shorter side in pixels after resampling, or native for none.
    """
    pixels: npt.NDArray[Any] = radiograph.pixels
    ends, corners = (0.0, 1.0), None
    if not for_presentation or image_size != "native":
        unit = normalize(radiograph)
        if not for_presentation:
            field = exposed_field(radiograph, unit)
            ends = intensity_range(radiograph, field)
            corners = None if fills(field, radiograph.shape) else _pairs(field)
        if image_size != "native":
            pixels = resample(unit, image_size)
    return Decoded(
        pixels=pixels,
        bits=radiograph.bits,
        relationship=radiograph.relationship,
        intensity_range=ends,
        valid=_bounds(radiograph),
        native_shape=radiograph.shape,
        field=corners,
    )


def _pairs(corners: Points) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in corners)


def _bounds(radiograph: Radiograph) -> tuple[int, int, int, int]:
    if radiograph.valid is None or not radiograph.valid.any():
        return (0, 0, *radiograph.shape)
    rows, columns = (np.flatnonzero(radiograph.valid.any(axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
