"""A turtle from above: shell, girdles inside it, head and limbs outside, eggs in some females.

Coordinates: the animal's left on the right of the image, y caudal, the middle of the shell at
(0, 0).
"""

import numpy as np

from radenhance.phantoms.anatomy.bones import Frame, ball, put_bone, put_plate, rod, shaft
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import corners, curve
from radenhance.phantoms.anatomy.limb_bones import flesh
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.shapes import Point, Shape, Union
from radenhance.phantoms.anatomy.shell import SIDES, put_shell, shell

EGG_SHARE = 0.7
"""Fraction of the females that have eggs."""


def put_turtle(canvas: Canvas, physique: Physique) -> None:
    """Draw a turtle into a canvas of air."""
    rng = physique.rng("turtle")
    height = 22.0 * physique.girth
    outside = shell(height)
    canvas.put(Union((outside, *_limb_flesh())), "soft")
    _put_viscera(canvas, physique, height)
    put_shell(canvas, outside, thickness=float(rng.uniform(2.2, 4.2)), rng=rng)
    _put_spine(canvas)
    _put_skull(canvas)
    for side in SIDES:
        lift = float(rng.uniform(-3, 3))
        _put_shoulder(canvas, side, lift)
        _put_hip(canvas, side, lift)
    if physique.sex == "F" and rng.random() < EGG_SHARE:
        _put_eggs(canvas, rng)


def _mirrored(text: str, side: float) -> list[Point]:
    return [(side * x, y) for x, y in corners(text)]


def _limb_flesh() -> list[Shape]:
    parts: list[Shape] = [flesh(corners("0,-45 0,-62 0,-80 0,-97"), [13, 9.5, 10.5, 7])]
    for side in SIDES:
        arm = _mirrored("25,-36 47,-61 54,-82 58,-100", side)
        leg = _mirrored("17,40 41,57 46,80 49,96", side)
        parts += [flesh(arm, [12, 12, 8, 7], 0.8), flesh(leg, [13, 12, 8, 6.5], 0.8)]
    return [*parts, flesh(corners("0,48 1,62 6,76 14,89"), [9, 6, 4.5, 1.5])]


def _put_viscera(canvas: Canvas, physique: Physique, height: float) -> None:
    """Draw lungs, bubbles of gas and swallowed gravel."""
    rng = physique.rng("viscera")
    for side in SIDES:
        lung = ball((side * 24, -12), 22, 42, depth=0.36 * height)
        canvas.put(lung, "lung", instead_of="soft", share=0.9)
    for _ in range(int(rng.integers(2, 9))):
        place = float(rng.uniform(-30, 30)), float(rng.uniform(-15, 45))
        a, b = rng.uniform(2.0, 7.0, 2).tolist()
        gas = ball(place, a, b, depth=min(a, b), angle=float(rng.uniform(0, 180)))
        canvas.put(gas, "air", instead_of="soft", share=0.8)
    for _ in range(int(rng.integers(0, 26))):
        place = float(rng.normal(8, 9)), float(rng.normal(25, 9))
        stone = ball(place, *rng.uniform(0.5, 1.8, 2).tolist())
        canvas.put(stone, "bone", instead_of="soft")


def _put_spine(canvas: Canvas) -> None:
    """Draw the vertebrae of trunk, neck and tail."""
    ys = np.linspace(-52, 46, 11).tolist()
    for y0, y1 in zip(ys[:-1], ys[1:], strict=True):
        body = shaft((0, y0 + 0.4), (0, y1 - 0.4), [2.6, 1.7, 1.6, 1.7, 2.6], cap=0.8)
        put_bone(canvas, body, cortex_mm=0.7, marrow=0.25)
        for side in SIDES:
            rib = [(side * 1.5, y0), (side * 6, y0 + 1.2), (side * 10, y0 + 2.5)]
            put_bone(canvas, rod(rib, 1.0, 0.7), cortex_mm=0.5)
    neck = curve(corners("0,-52 3,-60 -1.5,-70 0,-80"), 9)
    tail = curve(corners("0,47 1,62 5,76 12,86"), 15)
    for line, first, last in ((neck, 2.4, 2.4), (tail, 2.0, 0.7)):
        for i, r in enumerate(np.linspace(first, last, len(line) - 1).tolist()):
            start, end = line[i].tolist(), (0.15 * line[i] + 0.85 * line[i + 1]).tolist()
            body = shaft((start[0], start[1]), (end[0], end[1]), [r, 0.7 * r, r], cap=0.6)
            put_bone(canvas, body, cortex_mm=0.5, marrow=0.25)


def _put_skull(canvas: Canvas) -> None:
    put_bone(canvas, ball((0, -84), 5.0, 8.5, depth=4), cortex_mm=0.9, marrow=0.0)
    half = corners("0,-101 5,-98 8.5,-91 9.5,-84 7,-77 2.5,-73 0,-69")
    outline = half + [(-x, y) for x, y in half[-2:0:-1]]
    orbits = [_mirrored("3.2,-97 6.2,-92 3.6,-89 2,-93", side) for side in SIDES]
    put_plate(canvas, outline, thickness=1.1, edge=1.2, rim=2.4, holes=orbits)
    jaw = curve(corners("-7.5,-80 -7,-90 -3.6,-98 0,-100 3.6,-98 7,-90 7.5,-80"), 20)
    put_bone(canvas, rod(jaw, 1.3, 1.1, 1.3), cortex_mm=0.8)


def _put_shoulder(canvas: Canvas, side: float, lift: float) -> None:
    """Draw the two prongs of the shoulder blade, the coracoid behind them, and the arm."""
    scapula = rod(_mirrored("25,-38 16,-43 7,-46", side), 2.4, 1.6, 1.5)
    acromion = rod(_mirrored("25,-38 14,-35 5,-37", side), 2.2, 1.5, 1.8)
    for prong in (scapula, acromion):
        put_bone(canvas, prong, cortex_mm=0.8, marrow=0.15)
    coracoid = _mirrored("25,-36 16,-24 14,-12 6,-13 11,-24 22,-38", side)
    put_plate(canvas, coracoid, thickness=1.6, edge=1.1, rim=0.8)
    line = [(side * 25, -38.0), (side * 48, -62.0 + lift), (side * 54, -84.0 + lift)]
    _put_limb(canvas, line, radius=2.3, side=side)


def _put_hip(canvas: Canvas, side: float, lift: float) -> None:
    pubis = _mirrored("13,39 15,27 9,24 1,29 1,36 6,41", side)
    put_plate(canvas, pubis, thickness=2.6, edge=1.3, rim=1.0)
    ischium = _mirrored("13,42 6,41 1,44 1,51 8,53 14,48", side)
    put_plate(canvas, ischium, thickness=2.4, edge=1.3, rim=1.0)
    put_bone(canvas, rod(_mirrored("14,41 9,50 6,58", side), 2.0, 1.6, 2.2), cortex_mm=0.7)
    line = [(side * 17, 41.0), (side * 42, 58.0 + lift), (side * 46, 80.0 + lift)]
    _put_limb(canvas, line, radius=2.1, side=side)


def _put_limb(canvas: Canvas, joints: list[Point], *, radius: float, side: float) -> None:
    """Draw the upper bone, the two bones below it, and the foot, through three joints."""
    upper, middle, lower = joints
    r = radius
    bow = (upper[0] + middle[0]) / 2 - side * 1.5, (upper[1] + middle[1]) / 2
    bone = rod(curve([upper, bow, middle], 9), 1.7 * r, 1.1 * r, 0.9 * r, r, 1.7 * r)
    put_bone(canvas, bone, cortex_mm=0.5 * r, marrow=0.12)
    put_bone(canvas, ball(upper, 1.6 * r), cortex_mm=0.2 * r, marrow=0.12)
    axis = Frame.between(middle, lower)
    length = float(np.hypot(lower[0] - middle[0], lower[1] - middle[1]))
    for across in (-1.35 * r, 1.35 * r):
        start, end = axis.at(1.6 * r, across), axis.at(length, 1.2 * across)
        lower_bone = shaft(start, end, [1.1 * r, 0.6 * r, 0.55 * r, r], cap=1)
        put_bone(canvas, lower_bone, cortex_mm=0.4 * r, marrow=0.15)
        for along in (1.5, 4.2):
            put_bone(canvas, ball(axis.at(length + along, 0.9 * across), 1.2, 1.6), cortex_mm=0.4)
    for i in range(-2, 3):
        ray = Frame(axis.at(length + 6, 1.5 * i), axis.angle_deg + 11 * i)
        for near, far, tip in ((0.0, 4.6, 0.75), (5.2, 8.4, 0.75), (9.0, 13.2, 0.3)):
            toe = rod([ray.at(near, 0), ray.at(far, 0)], 0.95, tip)
            put_bone(canvas, toe, cortex_mm=0.4)


def _put_eggs(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw eggs with shells of lime, none of which overlaps another."""
    count, size = int(rng.integers(2, 9)), float(rng.uniform(0.85, 1.1))
    places: list[Point] = []
    for _ in range(200):
        x, y = float(rng.uniform(-30, 30)), float(rng.uniform(-12, 46))
        if len(places) < count and all(np.hypot(x - u, y - v) > 11 for u, v in places):
            places.append((x, y))
    for place in places:
        egg = ball(place, 9.5 * size, 7.0 * size, angle=float(rng.uniform(0, 180)))
        put_bone(canvas, egg, cortex_mm=0.45, marrow=0.0)
