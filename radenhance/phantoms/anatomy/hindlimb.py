"""Thigh, stifle, leg and paw, from the side and from the front.

Coordinates: y runs from the body to the paw; seen from the side, cranial is to the left; seen from
the front, the outer side of the limb is to the right. The stifle is at (0, 0).
"""

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
from radenhance.phantoms.anatomy.curves import corners
from radenhance.phantoms.anatomy.limb_bones import flesh, put_femur
from radenhance.phantoms.anatomy.paw import Toes, put_paw
from radenhance.phantoms.anatomy.physique import Physique

# Middle along and across the limb, and half width, of the small bones of the hock.
TARSUS = ((10.6, -3.2, 2.6), (10.2, 1.8, 3.4), (14.2, 2.6, 2.2), (14.2, -1.2, 2.0), (14, -4, 1.8))


def put_hindlimb(canvas: Canvas, physique: Physique, *, frontal: bool) -> None:
    """Draw a hind limb from the middle of the thigh to the claws into a canvas of air."""
    bend = 0.0 if frontal else float(physique.rng("hindlimb").uniform(25, 60))
    upper, lower = Frame((0, 0), 0.6 * bend - 90), Frame((0, 0), 90 - 0.4 * bend)
    hock = lower.at(106, 0)
    paw = Frame(hock, lower.angle_deg + 0.7 * bend)
    wide = 1.0 if frontal else 0.0
    line = [upper.at(110, 2), upper.at(55, 3), upper.at(8, 1), lower.at(38, 5 - 2 * wide)]
    line += [lower.at(78, 1), hock, paw.at(40, 1), paw.at(78, 0)]
    limb = flesh(line, [33, 28, 19, 16, 8.5, 8, 8 + 5 * wide, 5.5 + 7 * wide])
    canvas.put(limb, "fat")
    canvas.put(limb.shrunk(0.4 * physique.fat_mm + 0.5), "soft", instead_of="fat")
    put_femur(canvas, upper.at(104, 4), (0, -1), radius=3.6, turn=0.8 if frontal else 0.12)
    _put_sesamoids(canvas, upper, frontal=frontal)
    _put_crus(canvas, lower, frontal=frontal)
    _put_tarsus(canvas, paw, frontal=frontal)
    toes = Toes(31.0, radius=1.6, gap=3.9 if frontal else 1.3)
    put_paw(canvas, Frame(paw.at(17, 0), paw.angle_deg), toes, frontal=frontal, thumb=False)


def _put_sesamoids(canvas: Canvas, thigh: Frame, *, frontal: bool) -> None:
    """Draw the patella in front of the stifle and the fabellae behind it."""
    patella = ball(thigh.at(8.5, -9.5), 5.4, 2.5, angle=thigh.angle_deg + 8)
    if frontal:
        patella = ball((0.0, -9.5), 3.7, 5.2, depth=2.4)
    put_bone(canvas, patella, cortex_mm=0.6, marrow=0.22)
    for place in corners("-4.6,-8.5 4.6,-8.5" if frontal else "7.5,-5.5 8.8,-2.6"):
        put_bone(canvas, ball(place, 1.1, 1.5), cortex_mm=0.5)


def _put_crus(canvas: Canvas, frame: Frame, *, frontal: bool) -> None:
    """Draw shin bone and fibula."""
    angle = frame.angle_deg
    radii = [6.8, 5.2, 3.6, 3.1, 3.0, 3.0, 3.1, 4.2]
    bone = shaft(frame.at(2.6, 0), frame.at(104, 0), radii, cap=2.5, flatness=0.9)
    plateau = ball(frame.at(5.0, 0), 3.2, 7.4, depth=6, angle=angle)
    foot = ball(frame.at(102, 0), 3.4, 4.7, depth=4, angle=angle)
    parts = [Hollow(bone, 1.15, 0.06), Hollow(plateau, 0.65), Hollow(foot, 0.6)]
    if not frontal:
        crest = rod([frame.at(5, 5.5), frame.at(10, 6.0), frame.at(24, 3.0)], 2.6, 2.6, 1.0)
        parts.append(Hollow(crest, 0.9))
    put_hollow(canvas, parts)
    side = -1.0 if frontal else -0.5
    places = corners("6,7.4 30,6.4 70,5.4 105,4.8")
    fibula = rod([frame.at(along, side * across) for along, across in places], 1.7, 0.9, 0.85, 1.6)
    put_bone(canvas, fibula, cortex_mm=0.55)


def _put_tarsus(canvas: Canvas, frame: Frame, *, frontal: bool) -> None:
    """Draw heel bone, talus and the small bones below them."""
    tip = frame.at(-9.0, -4.4 if frontal else -6.6)
    heel = rod([frame.at(7.5, -3.5), tip], 2.7, 2.1, 2.7)
    put_bone(canvas, heel, cortex_mm=0.8)
    neck = rod([frame.at(2, 1.4), frame.at(8, 1.8)], 2.4, 2.1)
    put_bone(canvas, ball(frame.at(1.2, 1.2), 3.6), neck, cortex_mm=0.6, marrow=0.22)
    squeeze = 1.0 if frontal else 0.72
    for along, across, half in TARSUS:
        place = frame.at(along, squeeze * across)
        bone = ball(place, 1.7, squeeze * half, depth=2.6, angle=frame.angle_deg)
        put_bone(canvas, bone, cortex_mm=0.5, marrow=0.25)
