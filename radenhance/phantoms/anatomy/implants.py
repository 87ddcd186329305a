"""Things of steel, glass and plastic in an animal, at their true size.

Metal is far beyond the contrast of anatomy, and an enhancer must not ring around it. Implants are
added to what is there: the flesh that they displace is nothing beside their shadow.
"""

from collections.abc import Callable

import numpy as np

from radenhance.phantoms.anatomy.bones import Frame, rod
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import corners, curve
from radenhance.phantoms.anatomy.outline import Outline
from radenhance.phantoms.anatomy.shapes import Point

SPREAD_MM = 14.0
"""Standard deviation in mm of the distance from the middle of the image."""
TRIES = 40
FLESH_CM = 1.0
"""Smallest thickness in cm of water around an implant."""
PROBES_MM = (0.0, 12.0, 24.0, 36.0)
"""Distances in mm along an implant at which the thickness is checked."""


def put_implant(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put a microchip, staples, a screw or a catheter into flesh near the middle of the image.

    Where the flesh is too narrow at all places that are tried there is none.

    Args:
        canvas: The canvas to draw into, with the animal on it.
        rng: Generator of kind, place and direction.
    """
    size = 1 / canvas.pose.scale
    kinds = (_put_microchip, _put_staples, _put_screw, _put_catheter)
    draw: Callable[[Canvas, Frame, float], None] = kinds[
        int(rng.choice(4, p=(0.55, 0.15, 0.15, 0.15)))
    ]
    for _ in range(TRIES):
        x, y = (np.asarray(canvas.pose.center) + rng.normal(0, SPREAD_MM, 2)).tolist()
        frame = Frame((x, y), float(rng.uniform(0, 360)))
        if _in_flesh(canvas, [frame.at(size * along, 0) for along in PROBES_MM]):
            draw(canvas, frame, size)
            return


def _in_flesh(canvas: Canvas, points: list[Point]) -> bool:
    """Return whether the animal is thick enough at all points that are on the detector."""
    size = canvas.water.shape[::-1]
    pixels = np.array(points) @ canvas.affine[:, :2].T + canvas.affine[:, 2]
    column, row = np.clip(pixels, 0, np.array(size) - 1).astype(int).T
    return bool((canvas.water[row, column] > FLESH_CM).all())


def _points(frame: Frame, size: float, text: str) -> list[Point]:
    """Return the body coordinates of points in true mm."""
    return [frame.at(size * along, size * across) for along, across in corners(text)]


def _put_microchip(canvas: Canvas, frame: Frame, size: float) -> None:
    """Draw a glass capsule of 12 mm by 2.1 mm with its coil and chip."""
    glass = rod(_points(frame, size, "0,0 10,0"), 1.05 * size)
    canvas.put(glass, "bone", share=0.6)
    coil = rod(_points(frame, size, "0.5,0 6,0"), 0.6 * size)
    canvas.put(coil, "steel", share=0.6)
    chip = rod(_points(frame, size, "7.2,0 8.8,0"), 0.35 * size)
    canvas.put(chip, "steel", share=0.3)


def _put_staples(canvas: Canvas, frame: Frame, size: float) -> None:
    for i in range(7):
        staple = Frame(frame.at(6.5 * i * size, 0), frame.angle_deg + 3 * (i % 3))
        wire = rod(_points(staple, size, "0,3 0,0 0.1,-3.2 0,-3.4"), 0.28 * size)
        canvas.put(wire, "steel", share=0.8)


def _put_screw(canvas: Canvas, frame: Frame, size: float) -> None:
    core = rod(_points(frame, size, "0,0 16,0"), 0.85 * size, 0.75 * size)
    canvas.put(core, "steel", share=0.9)
    for i in range(11):
        turn = Frame(frame.at((2.5 + 1.25 * i) * size, 0), frame.angle_deg)
        thread = rod(_points(turn, size, "0,-1.3 0.5,1.3"), 0.28 * size)
        canvas.put(thread, "steel", share=0.7)
    head = np.array(_points(frame, size, "-2,-2.4 0.4,-2.4 0.4,2.4 -2,2.4"))
    canvas.put(Outline(head, 3.5 * size, 0.5 * size), "steel")


def _put_catheter(canvas: Canvas, frame: Frame, size: float) -> None:
    line = curve(_points(frame, size, "-60,5 -30,-6 0,0 30,8 62,-4"), 24)
    wall = rod(line, 1.1 * size)
    lumen = wall.shrunk(0.45 * size)
    canvas.put(wall, "bone", share=0.2, minus=(lumen,))
