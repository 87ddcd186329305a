"""Plates of any silhouette.

Flat bones have outlines that no ellipsoid has, and a rim that is brighter than their middle.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.shapes import Bounds, Floats, Grid


@dataclass(frozen=True)
class Outline:
    """A plate of any silhouette: a shoulder blade, a wing of the ilium, a scute.

    Args:
        points: Corners in mm, shape (num_points, 2), joined by straight lines; `closed_curve`
            rounds them.
        thickness: Thickness in mm away from the edge.
        edge: Distance from the edge in mm at which the full thickness is reached.
        rim: Thickness in mm that a rim along the edge adds.
        holes: Outlines of holes in mm, each of shape (num_points, 2).
    """

    points: npt.NDArray[np.float64]
    thickness: float
    edge: float
    rim: float = 0.0
    holes: tuple[npt.NDArray[np.float64], ...] = ()

    @property
    def step_mm(self) -> float:
        """A third of the edge."""
        return self.edge / 3

    @property
    def bounds(self) -> Bounds:
        """Box around the corners."""
        low, high = self.points.min(0), self.points.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def squared_chord(self, grid: Grid) -> Floats:
        """Return the squared chord, see `Shape`; 0, not negative, where the ray misses."""
        mask = np.zeros((grid.rows, grid.columns), np.uint8)
        fixed = [np.round(grid.pixels(p) * 16).astype(np.int32) for p in (self.points, *self.holes)]
        cv2.fillPoly(mask, fixed, 1, shift=4)
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5) * np.float32(grid.pitch_mm)
        rise = np.minimum(distance / np.float32(self.edge), 1)
        chord = np.float32(self.thickness) * np.sqrt(rise * (2 - rise))
        if self.rim > 0:
            chord += np.float32(self.rim) * rise * np.exp(1 - distance / np.float32(self.edge))
        return np.asarray(cv2.blur(chord, (3, 3)) ** 2, np.float32)

    def shrunk(self, by_mm: float) -> "Outline":
        """Return the plate with less thickness and the same silhouette."""
        return replace(self, thickness=max(self.thickness - 2 * by_mm, 0.0))
