"""Arm bone, thigh bone and the head of the shin bone, from any side, with the flesh around.

Views of the trunk and of the limbs draw the same bones, so they are here once.
"""

from collections.abc import Sequence

import numpy as np

from radenhance.phantoms.anatomy.bones import Frame, Hollow, ball, put_hollow, rod, shaft
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import curve
from radenhance.phantoms.anatomy.shapes import Point
from radenhance.phantoms.anatomy.tube import Tube

SIDES = (-1.0, 1.0)


def flesh(points: Sequence[Point], radii: Sequence[float], flatness: float = 0.85) -> Tube:
    """Return a limb's muscles and skin as a tube of smoothly changing radius.

    Args:
        points: Points in mm on the middle of the limb.
        radii: Radius in mm at each point.
        flatness: Depth of the cross-section along the beam, relative to its width.
    """
    line = curve([(*p, r) for p, r in zip(points, radii, strict=True)], 40)
    return Tube(np.column_stack([line[:, :2], np.zeros(40)]), line[:, 2], flatness)


def put_humerus(canvas: Canvas, head: Point, elbow: Point, *, radius: float, turn: float) -> None:
    """Draw an arm bone.

    Args:
        canvas: The canvas to draw into.
        head: Middle of the humeral head in mm.
        elbow: Middle of the elbow joint in mm.
        radius: Radius of the shaft in mm.
        turn: View of the bone: 0 from the side, 1 from the front, with both condyles apart.
    """
    r, frame = radius, Frame.between(head, elbow)
    length, angle = float(np.hypot(*np.subtract(elbow, head))), frame.angle_deg
    radii = [1.5 * r, 1.4 * r, 1.12 * r, r, 0.95 * r, 1.0 * r, 1.3 * r]
    bone = shaft(frame.at(0.6 * r, 0), frame.at(length - 0.2 * r, 0), radii, cap=2.0 * r)
    tubercle = ball(frame.at(0.2 * r, 1.2 * r), 1.8 * r, 0.9 * r, angle=angle)
    parts = [
        Hollow(bone, 0.37 * r, 0.06),
        Hollow(ball(head, 1.75 * r, 1.85 * r), 0.2 * r),
        Hollow(tubercle, 0.2 * r),
    ]
    for side in SIDES:
        place = frame.at(length, side * (0.35 + 0.7 * turn) * r)
        condyle = ball(place, 1.2 * r, 1.25 * r, depth=1.3 * r, angle=angle)
        ridge = rod([frame.at(length - 4 * r, 0), place], 0.8 * r, 0.9 * r)
        parts += [Hollow(condyle, 0.2 * r), Hollow(ridge, 0.25 * r, 0.1)]
    put_hollow(canvas, parts)


def put_femur(canvas: Canvas, hip: Point, knee: Point, *, radius: float, turn: float) -> None:
    """Draw a thigh bone.

    Args:
        canvas: The canvas to draw into.
        hip: Middle of the femoral head in mm.
        knee: Middle of the stifle joint in mm.
        radius: Radius of the shaft in mm.
        turn: View of the neck: +1 with the trochanter to the right, -1 to the left, 0 hidden.
    """
    r = radius
    top = (hip[0] + turn * 2.5 * r, hip[1] + 1.1 * r)
    frame = Frame.between(top, knee)
    length, angle = float(np.hypot(*np.subtract(knee, top))), frame.angle_deg
    radii = [1.25 * r, 1.2 * r, 1.02 * r, r, r, 1.1 * r, 1.5 * r]
    bone = shaft(frame.at(-1.2 * r, 0), frame.at(length - 0.6 * r, 0), radii, cap=2.0 * r)
    trochanter = ball(frame.at(-r, -turn * 0.3 * r), 1.6 * r, 0.9 * r, angle=angle)
    parts = [
        Hollow(bone, 0.37 * r, 0.05),
        Hollow(ball(hip, 1.6 * r), 0.17 * r, 0.24),
        Hollow(rod([hip, frame.at(0.6 * r, 0)], 1.05 * r, 1.35 * r), 0.24 * r),
        Hollow(trochanter, 0.18 * r),
    ]
    wide = (1.05 + 0.35 * (1 - abs(turn))) * r
    for side in SIDES:
        place = frame.at(length - 1.2 * r, side * (0.3 + 0.7 * abs(turn)) * r)
        condyle = ball(place, 1.45 * r, wide, depth=1.3 * r, angle=angle)
        flare = rod([frame.at(length - 6 * r, 0), place], 0.9 * r, 0.95 * r)
        parts += [Hollow(condyle, 0.17 * r), Hollow(flare, 0.2 * r, 0.14)]
    put_hollow(canvas, parts)


def put_tibia_head(canvas: Canvas, knee: Point, hock: Point) -> None:
    """Draw the shin bone of a limb whose stifle is near the border of the view.

    Args:
        canvas: The canvas to draw into.
        knee: Middle of the stifle joint in mm.
        hock: Middle of the hock in mm, which may be off the detector.
    """
    frame = Frame.between(knee, hock)
    bone = shaft(knee, hock, [6.4, 4.6, 3.6, 3.1, 3.0, 3.0], cap=3)
    plateau = ball(frame.at(3.2, 0), 3.2, 7.0, depth=6, angle=frame.angle_deg)
    put_hollow(canvas, [Hollow(bone, 1.15, 0.06), Hollow(plateau, 0.7)])
