"""Shoulder and pelvis with the upper bones of the limbs, as they overlap the trunk.

Bones that overlap organs are what makes a chest or a pelvis hard to read.
"""

from dataclasses import dataclass

from radenhance.phantoms.anatomy.bones import ball, put_bone, put_plate, rod
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import corners, curve
from radenhance.phantoms.anatomy.limb_bones import (
    SIDES,
    flesh,
    put_femur,
    put_humerus,
    put_tibia_head,
)
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.shapes import Point, Shape
from radenhance.phantoms.anatomy.torso import Projection

SHAFT_RADIUS = 3.5


@dataclass(frozen=True)
class Limb:
    """The position of an upper limb.

    Args:
        upper: Shoulder or hip joint in mm.
        lower: Elbow or stifle joint in mm.
        side: Side of the body in a frontal view, -1 or +1; always +1 in a lateral one.
        shift: Displacement of this limb in mm from its place in the tables.
    """

    upper: Point
    lower: Point
    side: float
    shift: Point = (0.0, 0.0)

    def moved(self, points: list[Point]) -> list[Point]:
        """Return points of the tables at this limb's place.

        Args:
            points: Points in mm; in a frontal view x counts away from the midline.
        """
        dx, dy = self.shift
        return [(x * self.side + dx, y + dy) for x, y in points]


def arms(projection: Projection, physique: Physique) -> list[Limb]:
    """Return both arms, pulled forward as for a radiograph of the chest."""
    rng = physique.rng("shoulders")
    found = []
    for side in SIDES:
        dx, dy = rng.uniform(-6, 6), rng.uniform(-4, 4)
        if projection.view == "lateral":
            found.append(Limb((dx - 15, 27 + dy), (dx - 49, 68 + dy), 1.0, (dx, dy)))
        else:
            dx = 12.0 * (projection.girth - 1) * side
            joints = (side * 45 + dx, dy - 18), (side * 58 + dx, dy - 72)
            found.append(Limb(*joints, side, (dx, dy)))
    return found


def thighs(projection: Projection, physique: Physique) -> list[Limb]:
    """Return both hind legs, pulled back."""
    rng = physique.rng("pelvis")
    found = []
    for side in SIDES:
        dx, dy, swing = rng.uniform(-4, 4), rng.uniform(-2, 2), rng.uniform(-8, 14)
        if projection.view == "lateral":
            found.append(Limb((258 + dx, 12 + dy), (258 + dx + swing, 76 + dy), 1.0, (dx, dy)))
        else:
            found.append(Limb((side * 20, 258), (side * (27 + dx), 330 + dy), side))
    return found


def limb_flesh(projection: Projection, physique: Physique) -> list[Shape]:
    """Return the muscles of all four limbs, as far as a view of the trunk shows them."""
    lateral = projection.view == "lateral"
    found: list[Shape] = []
    for arm in arms(projection, physique):
        (x, y), (u, v) = arm.upper, arm.lower
        top = (x + 30, y - 36) if lateral else (x - 12 * arm.side, y + 52)
        line = [top, (x + 6, y - 4), ((x + u) / 2, (y + v) / 2), (u, v), (2 * u - x, 2 * v - y)]
        found.append(flesh(line, [13, 20, 17, 12.5, 8.5], 0.8))
    for leg in thighs(projection, physique):
        (x, y), (u, v) = leg.upper, leg.lower
        top, foot = ((x + 4, y - 14), (u + 42, v + 42)) if lateral else ((x, y - 30), (u, v + 75))
        out = 6 if lateral else 4 * leg.side
        line = [top, (x + out, y + 16), (u, v - 22), (u, v), foot]
        found.append(flesh(line, [17, 25, 21, 14.5, 9], 0.8))
    return found


def put_shoulders(canvas: Canvas, projection: Projection, physique: Physique) -> None:
    """Draw both shoulder blades and arms."""
    for arm in arms(projection, physique):
        if projection.view == "lateral":
            blade = corners("28,-22 14,-28 2,-21 -9,5 -14,21 -8,24 2,11 20,-7")
            put_plate(canvas, arm.moved(blade), thickness=0.9, edge=1.1, rim=1.0)
            crest = rod(arm.moved(corners("18,-22 2,-1 -10,17")), 0.6, 1.1, flatness=2.4)
            put_bone(canvas, crest, cortex_mm=0.5)
            neck, turn = arm.moved([(-12, 20)])[0], 0.1
        else:
            blade = corners("29,40 33,44 38,36 42,8 45,-12 40,-14 35,6")
            put_plate(canvas, arm.moved(blade), thickness=1.8, edge=1.3, rim=1.2)
            neck, turn = arm.moved([(43, -12)])[0], 0.8
        put_bone(canvas, ball(neck, 4.4, 3.8), cortex_mm=0.7)
        put_humerus(canvas, arm.upper, arm.lower, radius=SHAFT_RADIUS, turn=turn)


def put_pelvis(canvas: Canvas, projection: Projection, physique: Physique) -> None:
    """Draw the pelvis and both thighs."""
    for leg in thighs(projection, physique):
        if projection.view == "lateral":
            _pelvis_lateral(canvas, leg)
        else:
            _pelvis_frontal(canvas, leg)


def _pelvis_lateral(canvas: Canvas, leg: Limb) -> None:
    ilium = corners("222,-13 220,-5 232,0 249,10 258,19 264,12 256,4 240,-8")
    put_plate(canvas, leg.moved(ilium), thickness=2.2, edge=1.4, rim=1.2)
    ischium = corners("259,10 258,20 268,26 284,26 291,18 286,11 272,13")
    hole = leg.moved(corners("265,19 273,22 279,20 272,16.5"))
    put_plate(canvas, leg.moved(ischium), thickness=2.4, edge=1.4, rim=1.2, holes=[hole])
    put_femur(canvas, leg.upper, leg.lower, radius=SHAFT_RADIUS, turn=0.25)
    x, y = leg.lower
    put_tibia_head(canvas, (x + 1, y + 2), (x + 46, y + 46))
    put_bone(canvas, ball((x - 8, y - 6), 2.2, 4.2, angle=10), cortex_mm=0.6)


def _pelvis_frontal(canvas: Canvas, leg: Limb) -> None:
    ilium = corners("9,228 12,219 18,217 18,226 14.5,240 17,251 14,262 10,262 9.5,245")
    put_plate(canvas, leg.moved(ilium), thickness=3.4, edge=1.3, rim=1.4)
    floor = corners("15,255 9,260 0.4,262 0.4,287 6,294 14,293 18,285 16,272")
    hole = leg.moved(corners("5,268 10,266 12.5,274 10,283 5,281"))
    put_plate(canvas, leg.moved(floor), thickness=2.6, edge=1.3, rim=1.3, holes=[hole])
    cup = curve(leg.moved(corners("18,249 13.5,255 14.5,264")), 8)
    put_bone(canvas, rod(cup, 1.0, 1.3), cortex_mm=0.8, marrow=0.3)
    put_femur(canvas, leg.upper, leg.lower, radius=SHAFT_RADIUS, turn=leg.side)
    x, y = leg.lower
    put_bone(canvas, ball((x, y - 8), 3.6, 4.8, depth=2.5), cortex_mm=0.7, marrow=0.24)
    put_tibia_head(canvas, (x, y), (x, y + 75))
