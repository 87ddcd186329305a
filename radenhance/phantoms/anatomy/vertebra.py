"""One vertebra, from the side and along its spinous process.

All groups of vertebrae are one drawing with other measures; skull and trunk both need it.
"""

from radenhance.phantoms.anatomy.bones import (
    Frame,
    Hollow,
    ball,
    put_bone,
    put_hollow,
    put_plate,
    rod,
)
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.spindle import Spindle

SIDES = (-1.0, 1.0)
# Position along the body and height there, relative to the height of the end plates' middle.
BODY_PROFILE = ((0, 1.06), (0.15, 0.98), (0.5, 0.84), (0.85, 0.98), (1, 1.06))


def _body(frame: Frame, length: float, half: float, depth: float) -> Spindle:
    stations = [(s, half * k, half * k, depth * k) for s, k in BODY_PROFILE]
    return Spindle(frame.at(-length / 2, 0), frame.at(length / 2, 0), stations, boxiness=1.6)


def put_vertebra_lateral(
    canvas: Canvas,
    frame: Frame,
    *,
    length: float,
    height: float,
    spine: tuple[float, float],
    transverse: float = 0.0,
) -> None:
    """Draw a vertebra from the side; the frame's first axis points caudally, its second ventrally.

    Args:
        canvas: The canvas to draw into.
        frame: Frame at the middle of the vertebral body.
        length: Length of the body in mm, without the disc.
        height: Height of the body in mm.
        spine: Caudal lean and height of the spinous process in mm.
        transverse: Length of the transverse processes in mm, which are seen across the body.
    """
    half = height / 2
    body = _body(frame, length, half, 1.15 * half)
    put_bone(canvas, body, cortex_mm=0.05 * height + 0.2, marrow=0.24)
    lamina = -half - 0.62 * height
    pedicle = [frame.at(-0.36 * length, 1 - half), frame.at(-0.3 * length, lamina)]
    roof = [frame.at(-0.45 * length, lamina), frame.at(0.5 * length, lamina - 0.1 * half)]
    put_bone(canvas, rod(pedicle, 0.41 * half), rod(roof, 0.31 * half), cortex_mm=0.7, marrow=0.25)
    lean, tall = spine
    process = [
        frame.at(-0.25 * length, lamina),
        frame.at(0.3 * length, lamina),
        frame.at(0.28 * length + lean, lamina - tall),
        frame.at(-0.05 * length + lean, lamina - tall - 0.5),
    ]
    put_plate(canvas, process, thickness=0.12 * height + 0.5, edge=0.1 * height + 0.4, rim=0.8)
    for side in SIDES:
        place = frame.at(0.55 * length, lamina + 0.14 * height + 0.3 * side)
        facet = ball(place, half * 0.42, half * 0.24, angle=frame.angle_deg - 20)
        put_bone(canvas, facet, cortex_mm=0.5)
    if transverse:
        wing = [frame.at(0, half * 0.3), frame.at(-0.55 * length, half * 0.3 + transverse * 0.6)]
        blade = rod(wing, half * 0.42, half * 0.28, flatness=0.8)
        put_bone(canvas, blade, cortex_mm=0.6, marrow=0.1)


def put_vertebra_frontal(
    canvas: Canvas,
    frame: Frame,
    *,
    length: float,
    width: float,
    transverse: float = 0.0,
    spine_lean: float = 0.0,
) -> None:
    """Draw a vertebra along its spinous process; the frame's first axis points caudally.

    Args:
        canvas: The canvas to draw into.
        frame: Frame at the middle of the vertebral body.
        length: Length of the body in mm, without the disc.
        width: Width of the body in mm.
        transverse: Reach of the transverse processes in mm from the midline; 0 for none.
        spine_lean: Distance in mm by which the tip of the spinous process projects caudally.
    """
    half, angle = width / 2, frame.angle_deg
    body = _body(frame, length, half, 0.9 * half)
    put_bone(canvas, body, cortex_mm=0.03 * width + 0.2, marrow=0.24)
    arch = []
    for side in SIDES:
        pedicle = frame.at(-0.18 * length, side * half * 0.86)
        facet = frame.at(0.5 * length, side * half * 0.62)
        arch.append(ball(pedicle, 0.3 * length, 0.22 * half, depth=half * 0.7, angle=angle))
        arch.append(ball(facet, 0.2 * length, 0.3 * half, depth=half * 0.5, angle=angle))
        if transverse:
            tip = frame.at(-0.5 * length, side * transverse)
            root = frame.at(-0.05 * length, side * half * 0.8)
            wing = rod([root, tip], 0.16 * length, 0.1 * length, flatness=0.5)
            put_bone(canvas, wing, cortex_mm=0.5, marrow=0.1)
    put_bone(canvas, *arch, cortex_mm=0.35, marrow=0.22)
    widths = ((0, 0.12, 0.9), (0.8, 0.24, 1.1), (1, 0.2, 0.9))
    process = Spindle(
        frame.at(-0.25 * length, 0),
        frame.at(0.25 * length + spine_lean, 0),
        [(s, half * wide, half * wide, half * deep) for s, wide, deep in widths],
        caps=(length * 0.1, length * 0.15),
    )
    put_hollow(canvas, [Hollow(process, 0.6, 0.3)])
