"""Smooth curves through points, and points written the short way.

Anatomy is tables of points; text keeps them readable, and curves keep them few.
"""

import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.shapes import Point


def corners(text: str) -> list[Point]:
    """Return the points of a text such as `"0,0 3,1.5 4,-2"`, written as in an SVG path."""
    pairs = (item.split(",") for item in text.split())
    return [(float(x), float(y)) for x, y in pairs]


def curve(points: npt.ArrayLike, num: int) -> npt.NDArray[np.float64]:
    """Return samples of a smooth open curve (Catmull-Rom) through points of any dimension.

    Args:
        points: Two points or more, shape (num_points, num_dimensions).
        num: Number of samples.

    Returns:
        Float64, shape (num, num_dimensions); first and last sample are the first and last point.
    """
    knots = np.asarray(points, np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    return _catmull_rom(padded, np.linspace(0, len(knots) - 1, num))


def closed_curve(points: npt.ArrayLike, num: int = 64) -> npt.NDArray[np.float64]:
    """Return samples of a smooth closed curve (Catmull-Rom) through points.

    Args:
        points: Three points or more, shape (num_points, 2).
        num: Number of samples.
    """
    knots = np.asarray(points, np.float64)
    padded = np.concatenate([knots[-1:], knots, knots[:2]])
    return _catmull_rom(padded, np.linspace(0, len(knots), num, endpoint=False))


def _catmull_rom(
    padded: npt.NDArray[np.float64], at: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    i = np.minimum(at.astype(int), len(padded) - 4)
    t = (at - i)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    cubic = (3 * (b - c) + d - a) * t**3 + (2 * a - 5 * b + 4 * c - d) * t**2 + (c - a) * t + 2 * b
    return np.asarray(cubic / 2, np.float64)
