"""Arm, elbow, forearm and paw, from the side and from the front.

Coordinates: y runs from the body to the paw; seen from the side, cranial is to the left; seen from
the front, the inner side of the limb is to the right. The elbow is at (0, 0).
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
from radenhance.phantoms.anatomy.limb_bones import flesh, put_humerus
from radenhance.phantoms.anatomy.paw import Toes, put_paw
from radenhance.phantoms.anatomy.physique import Physique

# Along the limb and across it: middle and half width of each carpal bone, by row.
CARPUS_FRONTAL = (
    (1.4, ((-2.2, 3.6), (3.6, 2.4))),
    (5.8, ((-5, 1.6), (-1.8, 1.7), (1.6, 1.9), (5.2, 2.2))),
)
CARPUS_LATERAL = ((1.4, ((0.8, 3.4), (-2.4, 2.2))), (5.8, ((1.6, 2.0), (-0.6, 2.2), (-2.6, 1.8))))


def put_forelimb(canvas: Canvas, physique: Physique, *, frontal: bool) -> None:
    """Draw a forelimb from the middle of the arm to the claws into a canvas of air."""
    bend = 0.0 if frontal else float(physique.rng("forelimb").uniform(15, 55))
    upper, lower = Frame((0, 0), 0.55 * bend - 90), Frame((0, 0), 0.45 * bend + 90)
    wrist = lower.at(96, 0)
    paw = Frame(wrist, lower.angle_deg - (0 if frontal else 4))
    wide = 1.0 if frontal else 0.0
    line = [upper.at(120, 4), upper.at(60, 3), (0.0, 0.0), lower.at(40, 0), wrist]
    line += [paw.at(35, 0), paw.at(64, -2)]
    limb = flesh(line, [27, 22, 14.5, 12.5, 8, 9 + 5 * wide, 6 + 7 * wide])
    canvas.put(limb, "fat")
    canvas.put(limb.shrunk(0.4 * physique.fat_mm + 0.5), "soft", instead_of="fat")
    put_humerus(canvas, upper.at(88, 0), (0, 0), radius=3.4, turn=1.0 if frontal else 0.1)
    _put_radius(canvas, lower, frontal=frontal)
    _put_ulna(canvas, lower, frontal=frontal)
    _put_carpus(canvas, paw, frontal=frontal)
    toes = Toes(25.0, radius=1.5, gap=3.9 if frontal else 1.3)
    start = Frame(paw.at(9.5, 0), paw.angle_deg)
    put_paw(canvas, start, toes, frontal=frontal, thumb=frontal)


def _put_radius(canvas: Canvas, frame: Frame, *, frontal: bool) -> None:
    top, bottom = (-1.6, -1.2) if frontal else (2.2, 1.0)
    radii = [3.6, 2.7, 2.4, 2.5, 2.6, 3.0, 4.2]
    bone = shaft(frame.at(4.2, top), frame.at(94, bottom), radii, cap=2.5, flatness=0.8)
    cup = ball(frame.at(5.6, top), 2.2, 4.2, angle=frame.angle_deg)
    foot = ball(frame.at(91.5, bottom), 4.2, 4.6, depth=3.6, angle=frame.angle_deg)
    put_hollow(canvas, [Hollow(bone, 0.85, 0.08), Hollow(cup, 0.55), Hollow(foot, 0.55)])


def _put_ulna(canvas: Canvas, frame: Frame, *, frontal: bool) -> None:
    """Draw the ulna with its olecranon, which from the front lies over the arm bone."""
    angle = frame.angle_deg
    if frontal:
        line = [frame.at(-12, 1.5), frame.at(6, 3.2), frame.at(40, 4.6), frame.at(92, 6.2)]
        olecranon = ball(frame.at(-7, 1.0), 8.0, 3.4, depth=4, angle=angle)
    else:
        line = [frame.at(-10, -7.5), frame.at(4, -4.4), frame.at(30, -3.6), frame.at(92, -3.2)]
        olecranon = ball(frame.at(-9, -7.2), 7.0, 3.8, angle=angle + 18)
        anconeal = rod([frame.at(-3, -6.0), frame.at(-4.5, -3.2)], 2.4, 1.2)
        put_bone(canvas, anconeal, cortex_mm=0.6)
    styloid = ball(frame.at(94.5, 6.2 if frontal else -3.2), 3.4, 2.0, angle=angle)
    body = rod(line, 3.3, 3.0, 1.9, 1.5)
    put_hollow(canvas, [Hollow(olecranon, 0.7, 0.16), Hollow(body, 0.8, 0.1), Hollow(styloid, 0.5)])


def _put_carpus(canvas: Canvas, frame: Frame, *, frontal: bool) -> None:
    """Draw two rows of carpal bones and, from the side, the accessory bone behind them."""
    for along, bones in CARPUS_FRONTAL if frontal else CARPUS_LATERAL:
        for across, half in bones:
            place = frame.at(along, across)
            bone = ball(place, 2.1, half, depth=2.6, angle=frame.angle_deg)
            put_bone(canvas, bone, cortex_mm=0.5, marrow=0.25)
    if not frontal:
        accessory = rod([frame.at(1, -3.0), frame.at(4, -8.2)], 1.7, 2.3)
        put_bone(canvas, accessory, cortex_mm=0.5)
