"""A skull from the side, with the first vertebrae of the neck.

Coordinates: nose to the left, the ear canal near (0, 0). The face is measured from the tip of the
nose, which is further away in dogs.
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
from radenhance.phantoms.anatomy.curves import closed_curve, corners, curve
from radenhance.phantoms.anatomy.limb_bones import flesh
from radenhance.phantoms.anatomy.outline import Outline
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.shapes import Point, Union
from radenhance.phantoms.anatomy.teeth import put_teeth
from radenhance.phantoms.anatomy.vertebra import put_vertebra_lateral


def put_skull(canvas: Canvas, physique: Physique) -> None:
    """Draw head and neck into a canvas of air."""
    rng = physique.rng("skull")
    muzzle = rng.uniform(0.95, 1.05) if physique.species == "cat" else rng.uniform(1.5, 1.9)
    nose = float(-38 - 20 * muzzle)
    _put_flesh(canvas, physique, nose)
    _put_brain_case(canvas)
    _put_ears(canvas)
    _put_nose(canvas, nose)
    _put_cheek(canvas)
    _put_mandible(canvas, nose)
    put_teeth(canvas, nose)
    for i in range(5):
        frame = Frame((17.0 + 11.6 * i, 4.0 + 3.6 * i), 16.0)
        length, height = (7.5, 8.0) if i == 0 else (10.3, 7.6)
        spine = (1.0, 9.0 if i == 1 else 4.5)
        put_vertebra_lateral(
            canvas, frame, length=length, height=height, spine=spine, transverse=6.0
        )


def _put_flesh(canvas: Canvas, physique: Physique, nose: float) -> None:
    front = [(nose + 3, 16.0), (nose + 16, 15.0)]
    back = corners("-38,9 -12,2 12,6 40,14 90,32")
    head = flesh([*front, *back], [8, 13, 22, 29, 28, 26, 27])
    jaw = flesh([(nose + 6, 24), (-40, 26), (-18, 24), (5, 22)], [6, 9, 13, 12], 0.8)
    body = Union((head, jaw))
    canvas.put(body, "fat")
    canvas.put(body.shrunk(0.6 * physique.fat_mm), "soft", instead_of="fat")
    for dx, lean in ((0.0, 0.0), (5.0, 3.0)):
        lobe = [(dx - 8, -20), (dx - 6 - lean, -44), (dx + 6, -24)]
        canvas.put(Outline(closed_curve(lobe, 40), 1.6, 1.2), "soft")
    airway = flesh(corners("-30,20 -12,18 8,22 40,32 90,50"), [3.0, 4.0, 4.4, 4.2, 4.2])
    canvas.put(airway, "air", instead_of="soft", share=0.9)


def _put_brain_case(canvas: Canvas) -> None:
    """Draw the vault with its sinus, the base and the back of the head."""
    brain = ball((-8, -8), 22, 18, depth=19, angle=10)
    brow = ball((-25, -9), 13.5, 12.0, depth=17, angle=-16)
    put_hollow(canvas, [Hollow(brain, 1.2, 0.0), Hollow(brow, 1.1, 0.0)])
    sinus = ball((-30, -13.5), 7.0, 4.2, depth=8, angle=-28)
    canvas.put(sinus, "air", instead_of="soft", share=0.8)
    canvas.put(sinus, "bone", instead_of="soft", share=0.12, minus=(sinus.shrunk(0.7),))
    crest = corners("6,-20 14,-14 16,-7 14,0 11,-6 9,-13")
    put_plate(canvas, crest, thickness=1.2, edge=1.5, rim=0.8)
    put_bone(canvas, ball((12.5, 4.5), 3.4, 2.6, depth=3.4), cortex_mm=0.7)
    put_bone(canvas, rod(corners("10,3 -8,3.5 -24,8 -38,12"), 1.5, 1.3), cortex_mm=0.6)


def _put_ears(canvas: Canvas) -> None:
    """Draw the drum chambers full of air and the dense bone of the inner ears."""
    for dx in (0.0, 1.6):
        drum = ball((dx - 1, 9), 8.0, 6.2, depth=6)
        put_bone(canvas, drum, cortex_mm=0.7, marrow=0.0)
        canvas.put(drum.shrunk(0.8), "air", instead_of="soft", share=0.9)
        petrous = ball((dx - 5, 2.5), 4.6, 3.2, depth=3.4, angle=30)
        put_bone(canvas, petrous, cortex_mm=1.0, marrow=0.5)


def _put_nose(canvas: Canvas, nose: float) -> None:
    """Draw the nose with its scrolls of thin bone, and the palate."""
    front = corners("18,-2 4,4.5 2.5,10 3,16 14,17.5")
    snout = [(-33.0, -15.0), *_from_nose(nose, front), (-36.0, 17.0), (-33.0, 4.0)]
    put_plate(canvas, snout, thickness=0.9, edge=1.1, rim=1.1)
    inner = [(-36.0, -8.0), *_from_nose(nose, corners("19,2 7,7 8,13")), (-38.0, 13.0)]
    cave = Outline(closed_curve(inner, 60), 9.0, 4.0)
    canvas.put(cave, "air", instead_of="soft", share=0.6)
    canvas.put(cave, "bone", instead_of="soft", share=0.05, grain=0.45)
    roof = [*_from_nose(nose, corners("4,16 22,16.6")), (-38.0, 16.4)]
    canvas.put(rod(roof, 0.5, 0.7, 0.4, flatness=5.0), "bone", instead_of="soft", share=0.4)


def _from_nose(nose: float, points: list[Point]) -> list[Point]:
    return [(nose + x, y) for x, y in points]


def _put_cheek(canvas: Canvas) -> None:
    """Draw cheek bone and rim of the orbit on both sides."""
    for dx in (-1.2, 1.2):
        arch = _from_nose(dx, corners("-4,5 -16,9 -29,11 -41,7"))
        put_bone(canvas, rod(arch, 1.5, 2.2, 2.4, 1.6), cortex_mm=0.6, marrow=0.14)
        socket = curve(_from_nose(dx, corners("-27,-11 -36,-10 -43,-2 -40,8")), 12)
        put_bone(canvas, rod(socket, 0.9, 1.1, 1.4), cortex_mm=0.5)
        process = rod(_from_nose(dx, corners("-27,-11 -23,-4")), 1.3, 0.7)
        put_bone(canvas, process, cortex_mm=0.5)


def _put_mandible(canvas: Canvas, nose: float) -> None:
    """Draw both halves of the lower jaw, a little apart."""
    back = corners("-26,31.5 -13,28 -7,24 -8,16 -13,11 -17,-1 -22,-1 -25,13 -33,22.5")
    for dx, dy in ((0.0, 0.0), (2.2, 1.4)):
        front = _from_nose(nose, corners("6.5,22 8.5,28 18.5,30.5"))
        jaw = [(x + dx, y + dy) for x, y in (*front, *back)]
        put_plate(canvas, jaw, thickness=1.5, edge=1.3, rim=1.5)
        canal = rod([(nose + 15.5 + dx, 26.5 + dy), (-28 + dx, 28 + dy)], 0.8, 0.9)
        canvas.put(canal, "soft", instead_of="bone", share=0.3)
        put_bone(canvas, ball((dx - 9, 13 + dy), 2.4, 1.7, depth=4.5), cortex_mm=0.6)
