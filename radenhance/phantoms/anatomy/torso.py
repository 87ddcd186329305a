"""Landmarks of a cat's or dog's trunk in three dimensions, and how a view projects them.

Two views of one animal agree because both project the same landmarks. The axes are a (caudal), d
(ventral) and l (to the animal's left), in mm; the first thoracic vertebra is at a = 0.

    lateral        x = a (head to the left), y = d, depth l
    ventrodorsal   x = l (left of the animal on the right), y = a (head up), depth d
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.curves import corners, curve
from radenhance.phantoms.anatomy.shapes import Ellipsoid, Point
from radenhance.phantoms.anatomy.spindle import Spindle
from radenhance.phantoms.anatomy.tube import Tube

View = Literal["lateral", "ventrodorsal"]

# Dorsal and ventral border and half width of the trunk, in mm, at positions a from neck to tail.
TRUNK = np.array(
    [
        (-95, -36, 8, 17),
        (-60, -35, 15, 20),
        (-30, -34, 26, 24),
        (0, -36, 47, 31),
        (30, -36, 58, 37),
        (60, -34, 63, 41),
        (95, -32, 66, 43),
        (130, -31, 67, 43),
        (165, -30, 65, 40),
        (200, -29, 57, 38),
        (230, -27, 49, 38),
        (255, -23, 42, 36),
        (285, -13, 28, 24),
        (315, -3, 14, 9),
    ]
)
# Middle of the vertebral bodies: d at positions a.
SPINE = np.array(
    corners("-95,-22 -60,-12 -25,-2 0,1 40,-6 90,-11 130,-12 190,-10 230,-6 255,0 290,8 330,20")
)
SPINE_LINE = curve(SPINE, 200)
GROUPS = {  # length and height of the first and the last, and the gap between two, in mm
    "C": (10.5, 9.0, 8.0, 7.2, 1.3),
    "T": (7.6, 10.0, 6.4, 7.0, 1.3),
    "L": (11.5, 15.0, 7.4, 8.6, 1.7),
    "S": (9.0, 7.5, 8.2, 5.5, 0.3),
    "Cd": (7.5, 10.0, 5.0, 3.2, 1.2),
}
COUNTS = {"C": 6, "T": 13, "L": 7, "S": 3, "Cd": 8}


@dataclass(frozen=True)
class Vertebra:
    """One vertebra.

    Args:
        group: C, T, L, S or Cd: cervical, thoracic, lumbar, sacral or caudal.
        index: Index within the group.
        a: Caudal coordinate of the middle of its body in mm.
        d: Ventral coordinate of the middle of its body in mm.
        length: Length of its body in mm.
        height: Height of its body in mm.
        angle_deg: Slope of the column in degrees, from a towards d.
    """

    group: str
    index: int
    a: float
    d: float
    length: float
    height: float
    angle_deg: float


def vertebrae() -> list[Vertebra]:
    """Return all vertebrae from the second cervical one to the tail."""
    found = []
    start = -sum(_lengths("C"))
    for group, count in COUNTS.items():
        first, last, tall, low, gap = GROUPS[group]
        for i in range(count):
            t = i / max(count - 1, 1)
            length = first + t * (last - first)
            a = start + (length + gap) / 2
            start += length + gap
            slope = np.rad2deg(np.arctan(float(spine_d(a + 3) - spine_d(a - 3)) / 6))
            height = tall + t * (low - tall)
            found.append(Vertebra(group, i, a, float(spine_d(a)), length, height, float(slope)))
    return found


def _lengths(group: str) -> list[float]:
    first, last, _, _, gap = GROUPS[group]
    return [float(x) + gap for x in np.linspace(first, last, COUNTS[group])]


def spine_d(a: float) -> float:
    """Return the ventral coordinate in mm of the middle of the vertebral column."""
    return float(np.interp(a, SPINE_LINE[:, 0], SPINE_LINE[:, 1]))


def section(a: float) -> tuple[float, float, float]:
    """Return dorsal border, ventral border and half width of the trunk in mm."""
    top, bottom, half = (float(np.interp(a, TRUNK[:, 0], TRUNK[:, k])) for k in (1, 2, 3))
    return top, bottom, half


@dataclass(frozen=True)
class Projection:
    """How a view turns body points and sizes into detector x, y and depth.

    Args:
        view: The view: lateral or ventrodorsal.
        girth: Relative width of the trunk, which stretches l.
    """

    view: View
    girth: float = 1.0

    def point(self, a: float, d: float, left: float) -> tuple[float, float, float]:
        """Return x, y and depth in mm of a body point."""
        left *= self.girth
        return (a, d, left) if self.view == "lateral" else (left, a, d)

    def flat(self, a: float, d: float, left: float) -> Point:
        """Return x and y in mm of a body point."""
        return self.point(a, d, left)[:2]

    def organ(
        self, middle: tuple[float, float, float], half: tuple[float, float, float], tilt: float = 0
    ) -> Ellipsoid:
        """Return an ellipsoid of the body as the view shows it.

        Args:
            middle: Middle, a, d and l in mm.
            half: Half axes in mm along a, d and l.
            tilt: Angle in degrees from a towards d, which only the lateral view shows.
        """
        along, down, wide = half[0], half[1], half[2] * self.girth
        if self.view == "lateral":
            return Ellipsoid(self.flat(*middle), (along, down), wide, tilt)
        return Ellipsoid(self.flat(*middle), (wide, along), down)

    def tube(
        self, points: npt.NDArray[np.float64], radii: npt.NDArray[np.float64], flatness: float = 1.0
    ) -> Tube:
        """Return a tube of the body as the view shows it.

        Args:
            points: Points a, d and l in mm, shape (num_points, 3).
            radii: Radius in mm at each point.
            flatness: Depth of the cross-section along the beam, relative to its width.
        """
        return Tube(np.array([self.point(*p) for p in points.tolist()]), radii, flatness)

    def trunk(self, table: npt.NDArray[np.float64], caps: Point = (0.0, 0.0)) -> Spindle:
        """Return a trunk as the view shows it.

        Args:
            table: Rows of a, dorsal border, ventral border and half width in mm.
            caps: Lengths in mm over which both ends are rounded.
        """
        a0, a1 = float(table[0, 0]), float(table[-1, 0])
        stations = []
        for a, top, bottom, half in table.tolist():
            half *= self.girth
            if self.view == "lateral":
                row = (-top, bottom, half)
            else:
                row = (half, half, (bottom - top) / 2)
            stations.append(((a - a0) / (a1 - a0), *row))
        start, end = ((a0, 0.0), (a1, 0.0)) if self.view == "lateral" else ((0.0, a0), (0.0, a1))
        return Spindle(start, end, stations, caps, boxiness=1.12)
