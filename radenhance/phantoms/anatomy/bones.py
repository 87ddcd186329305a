"""Bones: a shell of cortex around marrow that holds trabeculae.

Edges of cortex and texture of trabeculae are the finest structures that a radiograph shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import closed_curve
from radenhance.phantoms.anatomy.outline import Outline
from radenhance.phantoms.anatomy.shapes import Ellipsoid, Point, Shape, Union
from radenhance.phantoms.anatomy.spindle import Spindle
from radenhance.phantoms.anatomy.tube import Tube

CORTEX = 0.85
"""Density of the cortex of cats and dogs, relative to the 1.85 g/cm3 of the tables."""
GRAIN = 0.25
"""Relative standard deviation of the trabecular texture."""


@dataclass(frozen=True)
class Hollow:
    """A part of a bone: cortex around marrow.

    Args:
        shape: Outer surface of the part.
        cortex_mm: Thickness of the cortex in mm.
        marrow: Fraction of the inside that is mineral, as dense bone.
    """

    shape: Shape
    cortex_mm: float
    marrow: float = 0.2


def put_hollow(canvas: Canvas, parts: Sequence[Hollow]) -> None:
    """Put a bone into soft tissue, without walls where its parts overlap.

    Args:
        canvas: The canvas to draw into.
        parts: Parts of the bone.
    """
    outer = Union(tuple(part.shape for part in parts))
    window = canvas.window(outer)
    whole = canvas.chord(outer, window)
    inside, spongy = np.zeros_like(whole), np.zeros_like(whole)
    for part in parts:
        chord = canvas.chord(part.shape.shrunk(part.cortex_mm), window)
        np.maximum(inside, chord, out=inside)
        np.maximum(spongy, chord * np.float32(part.marrow), out=spongy)
    inside = np.minimum(inside, whole)
    mineral = np.float32(CORTEX) * (whole - inside) + spongy * canvas.texture(window, GRAIN)
    canvas.exchange(window, mineral, "bone", "soft")


def put_bone(canvas: Canvas, *parts: Shape, cortex_mm: float, marrow: float = 0.2) -> None:
    """Put a bone with one thickness of cortex into soft tissue.

    Args:
        canvas: The canvas to draw into.
        parts: Shapes that make up the bone.
        cortex_mm: Thickness of the cortex in mm.
        marrow: Fraction of the inside that is mineral, as dense bone.
    """
    put_hollow(canvas, [Hollow(Union(parts), cortex_mm, marrow)])


def put_plate(
    canvas: Canvas,
    points: Sequence[Point],
    *,
    thickness: float,
    edge: float,
    rim: float = 0.0,
    holes: Sequence[Sequence[Point]] = (),
) -> None:
    """Put a flat bone with a rounded outline into soft tissue; `Outline` has the measures."""
    rounded = tuple(closed_curve(hole, 40) for hole in holes)
    outline = Outline(closed_curve(points, 12 * len(points)), thickness, edge, rim, rounded)
    canvas.put(outline, "bone", instead_of="soft", grain=GRAIN / 2)


def shaft(
    start: Point, end: Point, radii: Sequence[float], *, flatness: float = 1.0, cap: float = 1.0
) -> Spindle:
    """Return the round shaft of a bone.

    Args:
        start: Proximal end in mm.
        end: Distal end in mm.
        radii: Radii in mm at equal distances from start to end.
        flatness: Depth along the beam, relative to the width.
        cap: Length in mm of the rounding at the ends.
    """
    at = np.linspace(0, 1, len(radii)).tolist()
    stations = [(s, r, r, r * flatness) for s, r in zip(at, radii, strict=True)]
    return Spindle(start, end, stations, caps=(cap, cap))


def ball(center: Point, *half: float, depth: float | None = None, angle: float = 0) -> Ellipsoid:
    """Return a ball, or an ellipsoid when two half axes are given.

    Args:
        center: Middle in mm.
        half: One or two half axes in mm in the detector plane.
        depth: Half axis in mm along the beam; the mean of the others when None.
        angle: Angle of the first half axis in degrees, from x towards y.
    """
    a, b = half[0], half[-1]
    return Ellipsoid(center, (a, b), (a + b) / 2 if depth is None else depth, angle)


def rod(points: npt.ArrayLike, *radii: float, flatness: float = 1.0) -> Tube:
    """Return a tube through points.

    Args:
        points: Points (x, y) or (x, y, z) in mm, shape (num_points, 2) or (num_points, 3).
        radii: Radii in mm at equal distances along the points.
        flatness: Depth of the cross-section along the beam, relative to its width.
    """
    line = np.asarray(points, np.float64)
    if line.shape[1] == 2:
        line = np.column_stack([line, np.zeros(len(line))])
    at = np.linspace(0, 1, len(line))
    return Tube(line, np.interp(at, np.linspace(0, 1, len(radii)), radii), flatness)


class Frame:
    """A local frame in body coordinates: a point and a direction.

    Args:
        origin: Point in mm at which its coordinates are zero.
        angle_deg: Direction of its first axis in degrees, from x towards y.
    """

    def __init__(self, origin: Point, angle_deg: float) -> None:
        """Keep the origin, and both axes as rows of a matrix."""
        self.origin = np.asarray(origin, np.float64)
        self.angle_deg = angle_deg
        cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        self.axes = np.array([[cosine, sine], [-sine, cosine]])

    @classmethod
    def between(cls, start: Point, end: Point) -> "Frame":
        """Return the frame whose origin is one point and whose first axis points to another."""
        angle = np.arctan2(end[1] - start[1], end[0] - start[0])
        return cls(start, float(np.rad2deg(angle)))

    def at(self, along: float, across: float) -> Point:
        """Return a point of the frame in body coordinates, in mm."""
        x, y = self.origin + np.array([along, across]) @ self.axes
        return float(x), float(y)
