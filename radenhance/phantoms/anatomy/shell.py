"""The shell of a turtle: two layers of bony plates under horn, with seams between them.

Everything else in a turtle is seen through it, which makes turtles the hardest case.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.bones import rod
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import curve
from radenhance.phantoms.anatomy.shapes import Point
from radenhance.phantoms.anatomy.spindle import Spindle

SIDES = (-1.0, 1.0)
HALF_LENGTH = 70.0
HALF_WIDTH = 54.0
HORN_MM = 0.7
MINERAL = 0.5  # plates are a sandwich of dense and spongy bone
SEAM_LOSS = 0.8
# Half width, relative to the largest, at equal distances from front to back.
PROFILE = (0.62, 0.82, 0.92, 0.97, 1.0, 1.02, 1.03, 1.0, 0.93, 0.8, 0.6)
COSTALS = tuple(float(y) for y in np.linspace(-50, 50, 9))


def half_width(y: float) -> float:
    """Return the half width of the shell in mm.

    Args:
        y: Position in mm, from -70 in front to 70 behind.
    """
    t = (y + HALF_LENGTH) / (2 * HALF_LENGTH)
    profile = np.interp(t, np.linspace(0, 1, len(PROFILE)), PROFILE)
    return float(HALF_WIDTH * profile * np.sqrt(max(1 - (2 * abs(t - 0.5)) ** 6, 0)))


def shell(height: float) -> Spindle:
    """Return the outside of a shell."""
    stations = []
    for t in np.linspace(0, 1, 41).tolist():
        half = half_width((2 * t - 1) * HALF_LENGTH)
        dome = float(height * np.sqrt(max(1 - abs(2 * t - 1) ** 2.6, 0.02)))
        stations.append((t, half, half, dome))
    ends = (0.0, -HALF_LENGTH), (0.0, HALF_LENGTH)
    return Spindle(*ends, stations, caps=(7.0, 7.0), boxiness=1.3)


def put_shell(
    canvas: Canvas, outside: Spindle, *, thickness: float, rng: np.random.Generator
) -> None:
    """Line a body with horn, and with plates of bone of a thickness in mm above and below."""
    canvas.put(outside, "keratin", instead_of="soft", minus=(outside.shrunk(HORN_MM),))
    window = canvas.window(outside)
    outer = canvas.chord(outside.shrunk(1.2), window)
    inner = np.minimum(canvas.chord(outside.shrunk(1.2 + thickness), window), outer)
    # The beam grazes the rim, where plates are thin; so the path is limited.
    plates = np.minimum(outer - inner, np.float32(2.6 * canvas.pose.scale))
    mineral = plates * np.float32(MINERAL) * canvas.texture(window, 0.11)
    canvas.exchange(window, mineral, "bone", "soft")
    for seam in _seams():
        line = curve(seam, 10) + rng.normal(0, 0.35, (10, 2))
        gap = rod(line, 0.42, flatness=thickness / 0.9)
        canvas.put(gap, "soft", instead_of="bone", share=SEAM_LOSS * MINERAL)


def _seams() -> Iterator[list[Point] | npt.NDArray[np.float64]]:
    """Yield the lines between plates: costals, rim, marginals and neurals, then the plastron."""
    for side in SIDES:
        for y in COSTALS:
            edge = half_width(y) - 9
            yield [(side * 5, y), (side * edge * 0.6, 1.05 * y), (side * edge, 1.12 * y)]
        yield [(side * (half_width(y) - 9.5), y) for y in np.linspace(-58, 60, 14).tolist()]
        yield [(side * 5, y) for y in np.linspace(-56, 58, 12).tolist()]
        for y in np.linspace(-54, 56, 11).tolist():
            wide = half_width(y)
            yield [(side * (wide - 9.5), y), (side * (wide - 2.0), 1.03 * y)]
    for y in COSTALS:
        yield [(-5.0, y + 5), (5.0, y + 5)]
    for y in (-30.0, -4.0, 24.0):
        yield [(-34.0, y + 2), (-12.0, y - 1), (0.0, y), (12.0, y + 1), (34.0, y + 2)]
