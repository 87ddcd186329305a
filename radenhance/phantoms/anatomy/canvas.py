"""Maps of path length that solids are put into.

Every material is written as so much water and so much cortical bone: the attenuation of any
substance without an absorption edge between 20 and 90 keV is a sum of these two (Alvarez and
Macovski, Phys Med Biol 1976;21:733). Two maps therefore hold flesh, fat, lung, horn, bone and
steel, and each hardens the beam as it should.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Floats
from radenhance.phantoms.anatomy.shapes import Grid, Shape
from radenhance.phantoms.anatomy.texture import crop_of_tile

Window = tuple[slice, slice]


class Material(NamedTuple):
    """The equivalent of 1 cm of a material.

    Args:
        water: Equivalent in cm of water.
        bone: Equivalent in cm of cortical bone of 1.85 g/cm3.
    """

    water: float
    bone: float


# Fat, steel and lead: least squares to xraylib's attenuation in the bins of `spectra`, within 2, 4
# and 13 % from 20 to 65 keV. Keratin (1.3 g/cm3): least squares to its effective attenuation at 45
# to 100 kVp, within 0.3 %. Steel and lead displace water on paper; the sum stays positive.
MATERIALS = {
    "air": Material(0.0, 0.0),
    "soft": Material(1.04, 0.0),
    "water": Material(1.0, 0.0),
    "fat": Material(1.004, -0.042),
    "lung": Material(0.27, 0.0),
    "keratin": Material(1.0715, 0.0965),
    "bone": Material(0.0, 1.0),
    "steel": Material(-52.8, 35.6),
    "lead": Material(-215.7, 180.3),
}


@dataclass(frozen=True)
class Pose:
    """How the body lies on the detector.

    Args:
        center: Body point, x and y in mm, that falls on the middle of the detector.
        angle_deg: Rotation of the body in degrees, clockwise on the image.
        scale: Detector mm per body mm, which is the size of this animal.
        mirrored: Whether left and right of the image are exchanged.
    """

    center: tuple[float, float] = (0.0, 0.0)
    angle_deg: float = 0.0
    scale: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True)
class Canvas:
    """Path lengths in cm behind every pixel.

    Args:
        water: Water equivalent in cm, float32, shape (rows, columns); written in place.
        bone: Cortical bone equivalent in cm, float32, same shape; written in place.
        spacing_mm: Pixel size in mm.
        grain: Texture tile of `texture.power_law_tile` at the same pixel size.
        pose: Position of the body on the detector.
    """

    water: Floats
    bone: Floats
    spacing_mm: float
    grain: Floats
    pose: Pose = Pose()

    def posed(self, pose: Pose) -> "Canvas":
        """Return a canvas that writes into the same maps from other body coordinates."""
        return replace(self, pose=pose)

    @cached_property
    def affine(self) -> npt.NDArray[np.float64]:
        """Body mm -> (column, row), float64, shape (2, 3); integers are pixel centres."""
        angle = np.deg2rad(self.pose.angle_deg)
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array([[cosine, -sine], [sine, cosine]]) * self.pose.scale / self.spacing_mm
        if self.pose.mirrored:
            matrix[0] *= -1
        rows, columns = self.water.shape
        middle = np.array([(columns - 1) / 2, (rows - 1) / 2])
        return np.column_stack([matrix, middle - matrix @ np.asarray(self.pose.center)])

    def window(self, shape: Shape) -> Window:
        """Return the rows and columns that a shape may touch; empty slices off the detector."""
        x0, y0, x1, y1 = shape.bounds
        corners = np.array([(x0, y0), (x1, y0), (x0, y1), (x1, y1)])
        pixels = corners @ self.affine[:, :2].T + self.affine[:, 2]
        low = (np.floor(pixels.min(0)) - 1).astype(int).tolist()
        high = (np.ceil(pixels.max(0)) + 2).astype(int).tolist()
        rows, columns = self.water.shape
        row = slice(min(max(low[1], 0), rows), max(min(high[1], rows), 0))
        return row, slice(min(max(low[0], 0), columns), max(min(high[0], columns), 0))

    def chord(self, shape: Shape, window: Window) -> Floats:
        """Return the chord length in cm of a shape at every pixel of a window."""
        rows, columns = (max(w.stop - w.start, 0) for w in window)
        if rows == 0 or columns == 0:
            return np.zeros((rows, columns), np.float32)
        factor = max(int(shape.step_mm * self.pose.scale / self.spacing_mm), 1)
        grid = self._grid(window, factor)
        field = shape.squared_chord(grid)
        if field.max() <= 0:
            return np.zeros((rows, columns), np.float32)
        if factor > 1:
            # Values far outside must not pull the silhouette inwards when they are interpolated.
            field = np.maximum(field, -field.max())
            size = (grid.columns * factor, grid.rows * factor)
            field = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)[
                factor : factor + rows, factor : factor + columns
            ]
        root = np.sqrt(np.maximum(field, 0))
        return np.asarray(root * np.float32(self.pose.scale / 10), np.float32)

    def chords(self, shapes: Iterable[Shape], window: Window) -> Floats:
        """Return the summed chord lengths in cm of many small shapes at every pixel of a window."""
        rows, columns = (max(w.stop - w.start, 0) for w in window)
        total = np.zeros((rows, columns), np.float32)
        for shape in shapes:
            row, column = (
                slice(max(own.start, outer.start), min(own.stop, outer.stop))
                for own, outer in zip(self.window(shape), window, strict=True)
            )
            if row.start < row.stop and column.start < column.stop:
                part = (
                    slice(row.start - window[0].start, row.stop - window[0].start),
                    slice(column.start - window[1].start, column.stop - window[1].start),
                )
                total[part] += self.chord(shape, (row, column))
        return total

    def _grid(self, window: Window, factor: int) -> Grid:
        """Sample every `factor`-th pixel, and one more on each side to interpolate from."""
        num_rows, num_columns = (-(-(w.stop - w.start) // factor) + 2 for w in window)
        if factor == 1:
            num_rows, num_columns = (w.stop - w.start for w in window)
        origin = np.array([window[1].start, window[0].start], np.float64)
        first = origin + ((factor - 1) / 2 - factor if factor > 1 else 0)
        affine = self.affine.copy()
        affine[:, 2] -= first
        return Grid(affine / factor, num_rows, num_columns)

    def put(
        self,
        shape: Shape,
        material: str,
        *,
        instead_of: str = "air",
        share: float = 1.0,
        grain: float = 0.0,
        minus: tuple[Shape, ...] = (),
    ) -> None:
        """Fill a shape with a material that takes the place of another.

        Args:
            shape: The shape to fill, in body coordinates.
            material: Name of the new material in `MATERIALS`.
            instead_of: Name of the material that filled the shape before.
            share: Fraction of the volume that is exchanged, in [0, 1].
            grain: Standard deviation of the texture, relative to the path length.
            minus: Solids inside the shape that are left as they are.
        """
        window = self.window(shape)
        chord = self.chord(shape, window)
        for hole in minus:
            chord = np.maximum(chord - self.chord(hole, window), 0)
        self.exchange(window, chord * np.float32(share), material, instead_of, grain=grain)

    def exchange(
        self, window: Window, path_cm: Floats, material: str, instead_of: str, *, grain: float = 0.0
    ) -> None:
        """Exchange path lengths in cm of one material for the same lengths of another."""
        if grain:
            path_cm = path_cm * self.texture(window, grain)
        new, old = MATERIALS[material], MATERIALS[instead_of]
        for target, coefficient in (
            (self.water, new.water - old.water),
            (self.bone, new.bone - old.bone),
        ):
            if coefficient:
                target[window] += np.float32(coefficient) * path_cm

    def texture(self, window: Window, amplitude: float) -> Floats:
        """Return texture with mean 1, at least 0.1, at every pixel of a window."""
        rows, columns = (max(w.stop - w.start, 0) for w in window)
        crop = crop_of_tile(
            self.grain, rows, columns, row=window[0].start * 3, column=window[1].start * 3
        )
        return np.asarray(np.maximum(1 + np.float32(amplitude) * crop, 0.1), np.float32)


def blank_canvas(rows: int, columns: int, *, spacing_mm: float, grain: Floats) -> Canvas:
    """Return a canvas of air.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        spacing_mm: Pixel size in mm.
        grain: Texture tile of `texture.power_law_tile` at the same pixel size.
    """
    water, bone = (np.zeros((rows, columns), np.float32) for _ in range(2))
    return Canvas(water, bone, spacing_mm, grain)
