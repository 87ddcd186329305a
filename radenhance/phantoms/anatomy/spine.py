"""The vertebral column and the rib cage, from the side and along the beam from belly to back.

Vertebrae and ribs repeat at regular distances: a shift or a blur shows in them first.
"""

import numpy as np

from radenhance.arrays import Points
from radenhance.phantoms.anatomy.bones import Frame, put_bone
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import curve
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.torso import (
    COUNTS,
    Projection,
    Vertebra,
    section,
    spine_d,
    vertebrae,
)
from radenhance.phantoms.anatomy.vertebra import put_vertebra_frontal, put_vertebra_lateral

# Caudal lean and height of the spinous process in mm, of the first and the last of each group.
PROCESS = {
    "C": ((1, 5), (2, 9)),
    "T": ((7, 15), (-2, 5)),
    "L": ((-2, 7), (-3, 9)),
    "S": ((0, 4), (2, 3)),
    "Cd": ((0, 1.5), (0, 0.8)),
}
BONY_PAIRS, JOINED_PAIRS = 13, 9  # the last four pairs do not reach the breastbone


def put_spine(canvas: Canvas, projection: Projection) -> None:
    """Draw all vertebrae."""
    for vertebra in vertebrae():
        if projection.view == "lateral":
            _lateral(canvas, vertebra)
        else:
            _frontal(canvas, vertebra)


def _lateral(canvas: Canvas, vertebra: Vertebra) -> None:
    first, last = PROCESS[vertebra.group]
    t = vertebra.index / (COUNTS[vertebra.group] - 1)
    lean, tall = (f + t * (g - f) for f, g in zip(first, last, strict=True))
    put_vertebra_lateral(
        canvas,
        Frame((vertebra.a, vertebra.d), vertebra.angle_deg),
        length=vertebra.length,
        height=vertebra.height,
        spine=(lean, tall),
        transverse=vertebra.height * {"L": 1.2, "C": 0.7}.get(vertebra.group, 0.0),
    )


def _frontal(canvas: Canvas, vertebra: Vertebra) -> None:
    reach = {"C": 9.0, "L": 13 + 1.6 * vertebra.index, "S": 9.0, "Cd": 4.0 - 0.4 * vertebra.index}
    put_vertebra_frontal(
        canvas,
        Frame((0.0, vertebra.a), 90.0),
        length=vertebra.length,
        width=vertebra.height * 1.4,
        transverse=max(reach.get(vertebra.group, 0.0), 0.0),
        spine_lean={"T": 3.0, "L": -1.0}.get(vertebra.group, 0.0),
    )


def put_ribs(canvas: Canvas, projection: Projection, physique: Physique) -> None:
    """Draw 13 pairs of ribs with their cartilages and the breastbone."""
    rng = physique.rng("ribs")
    mineral = rng.uniform(0.05, 0.3)
    at = np.linspace(0, 1, 14)
    radii = np.interp(at, (0, 0.15, 0.6, 1), (1.05, 1.3, 1.45, 1.8))
    for vertebra in (v for v in vertebrae() if v.group == "T"):
        for side in (-1, 1):
            bony, cartilage = _rib(vertebra.a + rng.normal(0, 0.7), vertebra.index, side)
            put_bone(canvas, projection.tube(bony, radii, 0.85), cortex_mm=0.65)
            gristle = projection.tube(cartilage, np.linspace(1.5, 0.9, len(cartilage)))
            canvas.put(gristle, "bone", instead_of="soft", share=mineral, grain=0.5)
    _put_sternum(canvas, projection)


def _rib(a: float, i: int, side: int) -> tuple[Points, Points]:
    """Return a bony rib, shape (14, 3), and its cartilage, shape (8, 3), as points (a, d, l)."""
    t = i / (BONY_PAIRS - 1)
    top = spine_d(a) - 1
    _, bottom, half = section(a + 12)
    bottom, half = bottom - 9, half - 6
    joined = i < JOINED_PAIRS
    reach = 0.76 - 0.05 * t if joined else 0.66 - 0.12 * (i - JOINED_PAIRS)
    u = np.linspace(0.03, reach, 14)
    lateral = side * half * np.sin(np.pi * u) ** 0.75
    down = top + (bottom - top) * (1 - np.cos(np.pi * u)) / 2
    back = a - 2 + (4 + 30 * t) * np.sin(np.pi / 2 * np.minimum(u / 0.72, 1.1))
    bony = np.column_stack([back, down, lateral])
    goal = np.array([11.5 * i - 6, bottom + 2, side * 3.0])
    if not joined:
        goal = bony[-1] + np.array([-16.0, 9.0, -side * 7.0])
    knee = bony[-1] + 0.45 * (goal - bony[-1]) + np.array([4.0, 4.0, 0.0])
    return bony, curve([bony[-1], knee, goal], 8)


def _put_sternum(canvas: Canvas, projection: Projection) -> None:
    """Draw eight sternebrae, the last of them the pointed xiphoid."""
    for i in range(8):
        a = 12.0 * i - 10
        bottom = section(a)[1] - 7.5
        last = i == 7
        end = (a + 17.5, bottom + 2.4, 0.0) if last else (a + 9.5, bottom + 0.9, 0.0)
        line = np.array([(a, bottom - 0.3, 0.0), end])
        radii = np.array([2.3, 2.1]) * (0.6 if last else 1)
        put_bone(canvas, projection.tube(line, radii), cortex_mm=0.5)
