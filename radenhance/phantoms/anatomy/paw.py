"""The toes: four metapodial bones with their phalanges and claws.

Fore and hind paws differ in their measures only.
"""

from dataclasses import dataclass, replace

from radenhance.phantoms.anatomy.bones import (
    Frame,
    Hollow,
    ball,
    put_bone,
    put_hollow,
    rod,
    shaft,
)
from radenhance.phantoms.anatomy.canvas import Canvas


@dataclass(frozen=True)
class Toes:
    """Measures of a paw.

    Args:
        metapodium: Length of the metapodial bones in mm.
        radius: Radius of the bones in mm.
        gap: Distance of two toes in mm.
        first: Length of the first phalanx in mm.
        second: Length of the second phalanx in mm.
        claw: Length of the third phalanx in mm.
    """

    metapodium: float
    radius: float
    gap: float
    first: float = 11.0
    second: float = 8.0
    claw: float = 7.0


def put_paw(canvas: Canvas, frame: Frame, toes: Toes, *, frontal: bool, thumb: bool) -> None:
    """Draw the toes; the first axis of the frame points along them."""
    for i, place in enumerate((-1.5, -0.5, 0.5, 1.5)):
        outer = abs(place) > 1
        angle = frame.angle_deg + place * (8.0 if frontal else 3.5)
        ray = Frame(frame.at(0.6 if outer else 0, place * toes.gap), angle)
        bend = 0.0 if frontal else 10.0 + 6 * i
        length = toes.metapodium * (0.88 if outer else 1)
        _put_toe(canvas, ray, replace(toes, metapodium=length), bend)
    if thumb:
        ray = Frame(frame.at(0.5, -2.5 * toes.gap), frame.angle_deg - 14)
        for start, end in ((0.0, 9.0), (10.2, 15.0)):
            bone = rod([ray.at(start, 0), ray.at(end, 0)], toes.radius, 0.8 * toes.radius)
            put_bone(canvas, bone, cortex_mm=0.5)


def _put_toe(canvas: Canvas, ray: Frame, toes: Toes, bend: float) -> None:
    """Draw one toe whose joints bend back and forth."""
    r, at, angle = toes.radius, ray.at(0, 0), ray.angle_deg
    lengths = (toes.metapodium, toes.first, toes.second)
    bends = (-bend, 1.6 * bend, -0.4 * bend)
    for length, turn, thin in zip(lengths, bends, (1.0, 0.95, 0.88), strict=True):
        bone, w = Frame(at, angle), r * thin
        radii = [1.35 * w, 1.1 * w, w, w, 1.05 * w, 1.3 * w]
        head = ball(bone.at(length - 0.8 * w, 0), 1.3 * w, 1.5 * w, angle=angle)
        body = shaft(at, bone.at(length, 0), radii, cap=w)
        put_hollow(canvas, [Hollow(body, 0.45 * w, 0.08), Hollow(head, 0.3 * w)])
        at, angle = bone.at(length + 1.0, 0), angle + turn
    claw = Frame(at, angle)
    line = [claw.at(0, 0), claw.at(0.6 * toes.claw, 0.3), claw.at(toes.claw, -0.8)]
    put_bone(canvas, rod(line, 1.3 * r, 0.9 * r, 0.2 * r), cortex_mm=0.5)
    sesamoid = ball(ray.at(toes.metapodium - 0.4, 0.9 * r), 0.9 * r, 0.55 * r, angle=ray.angle_deg)
    put_bone(canvas, sesamoid, cortex_mm=0.4)
