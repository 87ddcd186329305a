"""Bent round solids.

Ribs, vessels and bowel run in three dimensions; where they run along the beam they are brighter.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.shapes import OUTSIDE, Bounds, Floats, Grid


@dataclass(frozen=True)
class Tube:
    """A bent round solid: a rib, a vessel, a loop of bowel.

    Args:
        points: Points x, y and depth z in mm along the centre line, shape (num_points, 3). A
            stretch that runs into the depth has a longer chord.
        radii: Radius in mm at each point.
        flatness: Depth of the cross-section along the beam, relative to its width.
        max_stretch: Largest factor by which obliquity lengthens a chord.
    """

    points: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]
    flatness: float = 1.0
    max_stretch: float = 2.5

    @property
    def step_mm(self) -> float:
        """A fifth of the mean radius."""
        return max(float(np.mean(self.radii)) / 5, 0.05)

    @property
    def bounds(self) -> Bounds:
        """Box around the centre line, widened by the largest radius."""
        reach = float(self.radii.max())
        low, high = self.points[:, :2].min(0) - reach, self.points[:, :2].max(0) + reach
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def squared_chord(self, grid: Grid) -> Floats:
        """Return the squared chord of the union of round cones between neighbouring points."""
        field = np.full((grid.rows, grid.columns), OUTSIDE)
        x, y = grid.xy
        for i, (rows, columns) in enumerate(self._windows(grid)):
            if rows.start < rows.stop and columns.start < columns.stop:
                cone = self._cone(x[rows, columns], y[rows, columns], i)
                np.maximum(field[rows, columns], cone, out=field[rows, columns])
        return field

    def _windows(self, grid: Grid) -> list[tuple[slice, slice]]:
        """Return rows and columns that each stretch between two points may touch, and one more."""
        ends, reach = grid.pixels(self.points[:, :2]), self.radii / grid.pitch_mm + 1
        low = np.minimum(ends[:-1], ends[1:]) - np.maximum(reach[:-1], reach[1:])[:, None]
        high = np.maximum(ends[:-1], ends[1:]) + np.maximum(reach[:-1], reach[1:])[:, None]
        size = (grid.columns, grid.rows)
        first = np.clip(np.floor(low), 0, size).astype(int).tolist()
        last = np.clip(np.ceil(high) + 1, 0, size).astype(int).tolist()
        return [(slice(a[1], b[1]), slice(a[0], b[0])) for a, b in zip(first, last, strict=True)]

    def _cone(self, x: Floats, y: Floats, i: int) -> Floats:
        (x0, y0, z0), (x1, y1, z1) = self.points[i], self.points[i + 1]
        ux, uy = x1 - x0, y1 - y0
        squared = max(ux * ux + uy * uy, 1e-6)
        stretch = min(np.sqrt(1 + (z1 - z0) ** 2 / squared), self.max_stretch)
        dx, dy = x - np.float32(x0), y - np.float32(y0)
        t = np.clip(dx * np.float32(ux / squared) + dy * np.float32(uy / squared), 0, 1)
        radius = np.float32(self.radii[i]) + t * np.float32(self.radii[i + 1] - self.radii[i])
        dx -= t * np.float32(ux)
        dy -= t * np.float32(uy)
        scale = np.float32((2 * stretch * self.flatness) ** 2)
        return np.asarray(scale * (radius * radius - dx * dx - dy * dy), np.float32)

    def shrunk(self, by_mm: float) -> "Tube":
        """Return what `Shape` describes."""
        return replace(self, radii=np.maximum(self.radii - by_mm, 0.0))
