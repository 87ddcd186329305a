"""Straight solids of elliptic cross-sections.

Trunks and shafts are thick here and thin there; a table of widths says where.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from radenhance.phantoms.anatomy.shapes import OUTSIDE, Bounds, Floats, Grid, Point


@dataclass(frozen=True)
class Spindle:
    """A straight solid of elliptic cross-sections: a trunk, the shaft of a bone, a vertebral body.

    Args:
        start: First point of the axis, x and y in mm.
        end: Last point of the axis, x and y in mm.
        stations: Rows of (position along the axis in [0, 1], half width to the left of the axis,
            half width to the right, half depth along the beam), in mm, positions rising. Left and
            right are those of someone who walks from start to end on an image whose y points down.
        caps: Lengths in mm over which both ends are rounded; 0 cuts an end flat.
        boxiness: Exponent of the cross-section: 1 for an ellipse, larger for flatter sides.
    """

    start: Point
    end: Point
    stations: Sequence[tuple[float, float, float, float]]
    caps: tuple[float, float] = (0.0, 0.0)
    boxiness: float = 1.0

    @property
    def length(self) -> float:
        """The length of the axis in mm."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @property
    def step_mm(self) -> float:
        """A seventh of the smallest half width."""
        return max(min((row[1] + row[2]) / 2 for row in self.stations) / 7, 0.05)

    @property
    def bounds(self) -> Bounds:
        """Box around the axis, widened by the largest half width."""
        reach = max(max(row[1], row[2]) for row in self.stations)
        xs, ys = zip(self.start, self.end, strict=True)
        return min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach

    def squared_chord(self, grid: Grid) -> Floats:
        """Return what `Shape` describes."""
        x, y = grid.xy
        length = max(self.length, 1e-3)
        ux, uy = ((self.end[i] - self.start[i]) / length for i in (0, 1))
        dx, dy = x - np.float32(self.start[0]), y - np.float32(self.start[1])
        along = dx * np.float32(ux) + dy * np.float32(uy)
        across = dy * np.float32(ux) - dx * np.float32(uy)
        left, right, depth = self._profile(np.asarray(along / np.float32(length), np.float32))
        half = (left + right) / 2
        ratio = (across - (right - left) / 2) / np.maximum(half, np.float32(1e-3))
        fill = 1 - (ratio * ratio) ** np.float32(self.boxiness) - self._cap_term(along, length)
        inside = (along >= 0) & (along <= length) & (half > 0) & (depth > 0)
        return np.where(inside, 4 * depth * depth * fill, OUTSIDE).astype(np.float32)

    def _profile(self, position: Floats, num: int = 256) -> list[Floats]:
        """Return half widths left and right, and half depth, in mm at each position, smoothed."""
        table = np.asarray(self.stations, np.float64)
        fine = np.linspace(0, 1, num)
        kernel = np.hanning(33) / np.hanning(33).sum()
        profiles = []
        for i in (1, 2, 3):
            padded = np.pad(np.interp(fine, table[:, 0], table[:, i]), 16, mode="edge")
            smooth = np.convolve(padded, kernel, mode="valid")
            profiles.append(np.interp(position, fine, smooth).astype(np.float32))
        return profiles

    def _cap_term(self, along: Floats, length: float) -> Floats:
        """Return what rises from 0 where a cap begins to 1 at the end of the axis."""
        term = np.zeros_like(along)
        for cap, distance in zip(self.caps, (along, length - along), strict=True):
            if cap > 0:
                term += np.clip(1 - distance / np.float32(cap), 0, 1) ** 2
        return term

    def shrunk(self, by_mm: float) -> "Spindle":
        """Return the solid with a layer taken off that is thinner at the ends, as cortex is.

        Args:
            by_mm: Thickness of the layer in mm at the middle; two fifths of it at the ends.
        """
        stations = []
        for position, left, right, depth in self.stations:
            layer = by_mm * (0.4 + 0.6 * np.sin(np.pi * position))
            stations.append((position, left - layer, right - layer, depth - layer))
        inset = 0.8 * by_mm / max(self.length, 1e-3)
        start, end = np.array(self.start), np.array(self.end)
        new = (start + inset * (end - start), end - inset * (end - start))
        return replace(
            self,
            start=(float(new[0][0]), float(new[0][1])),
            end=(float(new[1][0]), float(new[1][1])),
            stations=tuple(stations),
        )
