"""Solids of which an animal is made, as seen along the beam.

A solid is known by its squared chord: the square of the length, in mm, that a ray travels inside,
taken negative where the ray misses. Squared chords of rounded solids are smooth across the
silhouette while chords have an infinite slope there, so a squared chord may be sampled coarsely,
enlarged and only then rooted: a 40 cm trunk costs no more than its pixels, and its edge stays
sharp.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Floats

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]

OUTSIDE = np.float32(-1e9)


@dataclass(frozen=True)
class Grid:
    """Sample points in the plane of the detector, in body coordinates.

    Args:
        affine: Float64, shape (2, 3), body mm -> (column, row) of the grid.
        rows: Number of sample rows.
        columns: Number of sample columns.
    """

    affine: npt.NDArray[np.float64]
    rows: int
    columns: int

    @cached_property
    def xy(self) -> tuple[Floats, Floats]:
        """Body coordinates x and y in mm of every sample, each of shape (rows, columns)."""
        inverse = cv2.invertAffineTransform(self.affine)
        column = np.arange(self.columns, dtype=np.float64)
        row = np.arange(self.rows, dtype=np.float64)[:, None]
        x, y = (a * column + (b * row + c) for a, b, c in inverse)
        return x.astype(np.float32), y.astype(np.float32)

    @cached_property
    def pitch_mm(self) -> float:
        """Distance of two samples in body mm."""
        return float(abs(np.linalg.det(self.affine[:, :2])) ** -0.5)

    def pixels(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Turn body points, shape (N, 2), into (column, row) of the grid."""
        return np.asarray(points, np.float64) @ self.affine[:, :2].T + self.affine[:, 2]


class Shape(Protocol):
    """A solid: where it is, how finely it must be sampled, how far rays travel in it."""

    @property
    def step_mm(self) -> float:
        """Coarsest sampling that keeps the shape."""

    @property
    def bounds(self) -> Bounds:
        """Smallest x, smallest y, largest x and largest y in mm."""

    def squared_chord(self, grid: Grid) -> Floats:
        """Squared chord in mm^2 at every sample of the grid; negative where the ray misses."""

    def shrunk(self, by_mm: float) -> "Shape":
        """Return the same solid with a layer of `by_mm` taken off."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with one axis along the beam.

    Args:
        center: x and y in mm.
        half: Half axes in the detector plane in mm.
        depth: Half axis along the beam in mm.
        angle_deg: Angle from x towards y of the first half axis.
    """

    center: Point
    half: Point
    depth: float
    angle_deg: float = 0.0

    @property
    def step_mm(self) -> float:
        """An eighth of the smaller half axis."""
        return min(self.half) / 8

    @property
    def bounds(self) -> Bounds:
        """A square that holds the ellipse at any angle, or the exact box at angle 0."""
        a, b = self.half if self.angle_deg == 0 else (max(self.half), max(self.half))
        x, y = self.center
        return x - a, y - b, x + a, y + b

    def squared_chord(self, grid: Grid) -> Floats:
        """See `Shape`: 4 depth^2 (1 - u^2 / a^2 - v^2 / b^2)."""
        if min(*self.half, self.depth) <= 0:
            return np.full((grid.rows, grid.columns), OUTSIDE)
        x, y = grid.xy
        cosine, sine = _direction(self.angle_deg)
        dx, dy = x - np.float32(self.center[0]), y - np.float32(self.center[1])
        u = (dx * cosine + dy * sine) / np.float32(self.half[0])
        v = (dy * cosine - dx * sine) / np.float32(self.half[1])
        return np.asarray(np.float32(4 * self.depth**2) * (1 - u * u - v * v), np.float32)

    def shrunk(self, by_mm: float) -> "Ellipsoid":
        """See `Shape`."""
        a, b = self.half
        return replace(self, half=(a - by_mm, b - by_mm), depth=self.depth - by_mm)


def _direction(angle_deg: float) -> tuple[np.float32, np.float32]:
    radians = np.deg2rad(angle_deg)
    return np.float32(np.cos(radians)), np.float32(np.sin(radians))


@dataclass(frozen=True)
class Union:
    """Solids that belong to one body: where they overlap the longest chord counts once."""

    parts: tuple[Shape, ...]

    @property
    def step_mm(self) -> float:
        """The finest of the parts' steps."""
        return min(part.step_mm for part in self.parts)

    @property
    def bounds(self) -> Bounds:
        """Box around all parts."""
        boxes = np.array([part.bounds for part in self.parts])
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def squared_chord(self, grid: Grid) -> Floats:
        """See `Shape`."""
        field = self.parts[0].squared_chord(grid)
        for part in self.parts[1:]:
            field = np.maximum(field, part.squared_chord(grid))
        return field

    def shrunk(self, by_mm: float) -> "Union":
        """See `Shape`."""
        return Union(tuple(part.shrunk(by_mm) for part in self.parts))
