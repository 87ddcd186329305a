"""One file's pixels as training takes them: decoded, at native size or resampled.

At native size they stay the whole numbers of the file, and only the part that is asked for is
normalized: of a memory-mapped image that part alone is read from the disk. Resampled they are
normalized float32, because means over an area are no whole numbers any more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from radenhance.dataset.augment import Image, resample
from radenhance.dataset.normalize import normalize, to_unit, window
from radenhance.dicom.declaration import Rule
from radenhance.dicom.radiograph import Radiograph, Relationship
from radenhance.dicom.read import read

ImageSize = int | Literal["native"]


@dataclass(frozen=True)
class Decoded:
    """A decoded file; `decoded[rows, columns]` are unit values, float32 in [0, 1].

    Args:
        pixels: Canonical uint16 at native size, or unit values, float32, after resampling; shape
            (H, W), in memory or on the disk.
        bits: Declared bits per pixel of the file.
        relationship: As in Radiograph.
        window: Unit values at the 0.1 and 99.9 percentiles of the whole valid image, which become
            0 and 1 in what the network sees; 0 and 1 of a target.
        valid: First row, first column, last row + 1, last column + 1 of the valid area.
        native_shape: Rows and columns of the file.
    """

    pixels: npt.NDArray[np.uint16] | Image
    bits: int
    relationship: Relationship
    window: tuple[float, float]
    valid: tuple[int, int, int, int]
    native_shape: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of `pixels`."""
        rows, columns = self.pixels.shape
        return rows, columns

    def __getitem__(self, area: tuple[slice, slice]) -> Image:
        """Return the unit values of some rows and columns, in memory of their own."""
        pixels: npt.NDArray[Any] = np.array(self.pixels[area])
        if pixels.dtype != np.uint16:
            return pixels
        return to_unit(pixels, bits=self.bits, relationship=self.relationship)


def decode(path: Path, *, rule: Rule, viewing: bool, image_size: ImageSize) -> Decoded:
    """Read a file; `viewing` as in `radenhance.dicom.read.read`, and there is no window then.

    Raises:
        RadiographError: The file cannot be read.
    """
    radiograph = read(path, rule=rule, viewing=viewing)
    pixels: npt.NDArray[Any] = radiograph.pixels
    if image_size != "native":
        pixels = resample(normalize(radiograph), image_size)
    return Decoded(
        pixels=pixels,
        bits=radiograph.bits,
        relationship=radiograph.relationship,
        window=(0.0, 1.0) if viewing else window(radiograph),
        valid=_bounds(radiograph),
        native_shape=radiograph.shape,
    )


def _bounds(radiograph: Radiograph) -> tuple[int, int, int, int]:
    if radiograph.valid is None or not radiograph.valid.any():
        return (0, 0, *radiograph.shape)
    rows, columns = (np.flatnonzero(radiograph.valid.any(axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
