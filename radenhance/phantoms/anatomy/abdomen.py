"""Liver, stomach, spleen, kidneys, bowel and bladder in the fat between them.

Fat attenuates a little less than organs. That little contrast is what an abdomen is read by, and
what an enhancer must not lose.
"""

import numpy as np

from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import curve
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.torso import Projection, section

COLON = ((158, 18, 8), (175, 22, 13), (200, 20, 10), (225, 15, 3), (250, 14, 0), (272, 14, 0))


def put_abdomen(canvas: Canvas, projection: Projection, physique: Physique) -> None:
    """Put fat between the organs, and the organs into the fat."""
    rng = physique.rng("abdomen")
    fat = rng.uniform(0.5, 0.9)
    rows = []
    for a in (100.0, 118.0, 140.0, 165.0, 200.0, 230.0, 252.0, 268.0):
        top, bottom, half = section(a)
        rows.append((a, top + 36.0, bottom - 6.0, half - 7.0))
    belly = projection.trunk(np.array(rows), caps=(14.0, 16.0))
    canvas.put(belly, "fat", instead_of="soft", share=fat)
    shift = rng.uniform(-3, 3)
    organs = [
        projection.organ((117 + shift, 32, 0), (24, 29, 32), -24),
        projection.organ((132 + shift, 48, 4), (16, 9, 26), 30),
        projection.organ((158 + shift, 46, 14), (21, 4.5, 10), -15),
        projection.organ((162 + shift, 9, -17), (17, 10.5, 10)),
        projection.organ((180 + shift, 13, 17), (17, 10.5, 10)),
        projection.organ((226, 34, 0), (rng.uniform(12, 22), rng.uniform(8, 13), 12), -8),
    ]
    for organ in organs:
        canvas.put(organ, "soft", instead_of="fat", share=fat)
    _put_stomach(canvas, projection, rng)
    _put_bowel(canvas, projection, rng, fat)
    _put_colon(canvas, projection, rng)


def _put_stomach(canvas: Canvas, projection: Projection, rng: np.random.Generator) -> None:
    """Draw the stomach: flesh, food with grains of bone meal, and a bubble of gas."""
    size = rng.uniform(0.75, 1.25)
    body = projection.organ((142, 26, 10), (12 * size, 21 * size, 19 * size), 20)
    canvas.put(body, "soft", instead_of="fat", share=0.7)
    canvas.put(
        body.shrunk(1.5), "bone", instead_of="soft", share=rng.uniform(0.001, 0.02), grain=1.0
    )
    gas = projection.organ((142, 18, 15), (8 * size, 9 * size, 11 * size), 20)
    canvas.put(gas, "air", instead_of="soft", share=rng.uniform(0.3, 0.95))


def _put_bowel(
    canvas: Canvas, projection: Projection, rng: np.random.Generator, fat: float
) -> None:
    """Draw loops of small bowel, some of them with gas."""
    for _ in range(11):
        middle = np.array([rng.uniform(158, 215), rng.uniform(24, 46), rng.uniform(-18, 18)])
        turn = rng.uniform(0, np.pi)
        knots = [
            middle + np.array([np.cos(turn + p) * 15, np.sin(turn + p) * 7, np.cos(p) * 7])
            for p in np.linspace(0, rng.uniform(2.2, 4.2), 5)
        ]
        line = curve(knots, 16)
        radius = rng.uniform(3.4, 4.8)
        loop = projection.tube(line, np.full(16, radius))
        canvas.put(loop, "soft", instead_of="fat", share=fat)
        if rng.random() < 0.5:
            first = rng.integers(0, 8)
            piece = line[first : first + rng.integers(4, 8)]
            swell = np.sin(np.linspace(0.35, np.pi - 0.35, len(piece)))
            bubble = projection.tube(piece, (radius - 0.9) * swell)
            canvas.put(bubble, "air", instead_of="soft", share=rng.uniform(0.5, 1))


def _put_colon(canvas: Canvas, projection: Projection, rng: np.random.Generator) -> None:
    """Draw the descending colon with stool: lumps, gas between them, grains of mineral."""
    line = curve(COLON, 48)
    wall = projection.tube(line, np.full(48, 6.0))
    canvas.put(wall, "soft", instead_of="fat", share=0.7)
    filling = rng.uniform(0.002, 0.02)
    canvas.put(wall.shrunk(1), "bone", instead_of="soft", share=filling, grain=1.0)
    for _ in range(int(rng.integers(3, 14))):
        i = int(rng.integers(2, 44))
        a, d, left = (line[i] + rng.normal(0, 1.5, 3)).tolist()
        along, down, wide = rng.uniform(1.5, 4.2, 3).tolist()
        gas = projection.organ((a, d, left), (along, down, wide))
        canvas.put(gas, "air", instead_of="soft", share=0.7)
