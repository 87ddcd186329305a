"""Lungs, heart, great vessels and airways, from any side.

The vessels of the lungs, bright on dark and ever finer, are what most chests are taken for.
"""

import numpy as np

from radenhance.arrays import Points
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import corners, curve
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.shapes import Ellipsoid, Union
from radenhance.phantoms.anatomy.spindle import Spindle
from radenhance.phantoms.anatomy.torso import Projection, section, spine_d
from radenhance.phantoms.anatomy.tube import Tube

HILUS = np.array([52.0, 20.0, 0.0])
HEART = ((48.0, 33.0, 3.0), (21.0, 15.5, 16.0), 52.0)


def dome(projection: Projection, physique: Physique) -> Ellipsoid:
    """Return the front of the abdomen, which the diaphragm moves with the breath."""
    breath = physique.rng("breath").uniform(-5, 6)
    return projection.organ((172.0 + breath, 34.0, 0.0), (80.0, 62.0, 52.0), -20.0)


def cavity(projection: Projection) -> Spindle:
    """Return the thoracic cavity without its wall."""
    rows = []
    for a in (-4.0, 12.0, 30.0, 60.0, 95.0, 125.0, 150.0):
        _, bottom, half = section(a)
        rows.append((a, spine_d(a) + 6.0, bottom - 11.5, half - 8.0))
    return projection.trunk(np.array(rows), caps=(14.0, 26.0))


def put_thorax(canvas: Canvas, projection: Projection, physique: Physique) -> None:
    """Carve the lungs out of the flesh, and put vessels and airways in."""
    heart = projection.organ(*HEART)
    base = projection.organ((43.0, 17.0, 0.0), (13.0, 9.0, 9.0))
    front = projection.organ((14.0, 20.0, 0.0), (24.0, 16.0, 6.0))
    lungs = cavity(projection)
    window = canvas.window(lungs)
    air = canvas.chord(lungs, window)
    for solid in (dome(projection, physique), Union((heart, base, front))):
        air = np.maximum(air - canvas.chord(solid, window), 0)
    canvas.exchange(window, air, "lung", "soft")
    branches = [projection.tube(*branch) for branch in lung_vessels(physique.rng("lung vessels"))]
    vessels = canvas.chords([*_great_vessels(projection), *branches], window)
    canvas.exchange(window, np.minimum(vessels, 0.8 * air), "soft", "lung")
    _put_airways(canvas, projection)


def _great_vessels(projection: Projection) -> list[Tube]:
    aorta = curve([(46, 18, 2), (50, 6, 4), (66, 3, 3), (100, 0, 1), (140, -2, 0)], 20)
    cava = curve([(64, 30, -4), (82, 33, -5), (100, 34, -6)], 8)
    return [
        projection.tube(aorta, np.linspace(4.6, 3.6, 20)),
        projection.tube(cava, np.full(8, 4.0)),
    ]


def _put_airways(canvas: Canvas, projection: Projection) -> None:
    """Draw the windpipe, slightly nearer to the spine at its end, and the two main bronchi."""
    trachea = curve([(-92, 1, 0), (-50, 8, 0), (-10, 16, 0), (25, 15, 0), (51, 18, 0)], 24)
    tubes = [projection.tube(trachea, np.full(24, 3.7))]
    for side in (-1, 1):
        bronchus = curve([(50, 18, 0), (62, 22, side * 7), (80, 24, side * 12)], 8)
        tubes.append(projection.tube(bronchus, np.linspace(2.6, 1.4, 8)))
    for tube in tubes:
        wall = tube.shrunk(-0.5)
        canvas.put(wall, "soft", instead_of="lung", share=0.5, minus=(tube,))
        canvas.put(tube, "air", instead_of="soft", share=0.9)


def lung_vessels(rng: np.random.Generator) -> list[tuple[Points, Points]]:
    """Return the vessel trees of both lungs.

    Args:
        rng: Generator of lengths and directions.

    Returns:
        For each branch its points (a, d, l) in mm, shape (num_points, 3), and its radii in mm.
    """
    found: list[tuple[Points, Points]] = []
    for side in (-1, 1):
        for along, down in corners("1,0.25 0.9,-0.4 1,0 0.8,0.75 -0.8,0.45 -0.7,0"):
            heading = np.array([along, down, side * rng.uniform(0.15, 0.55)])
            root = HILUS + np.array([4 * along, 2.0, side * 7.0])
            _grow(found, rng, root, heading / np.linalg.norm(heading), radius=1.7, depth=3)
    return found


def _grow(
    found: list[tuple[Points, Points]],
    rng: np.random.Generator,
    root: Points,
    heading: Points,
    *,
    radius: float,
    depth: int,
) -> None:
    """Add a branch and, while `depth` lasts, two to three more from it."""
    length = rng.uniform(9, 17) * (1.35 if depth == 3 else 1)
    bend = rng.normal(0, 0.12, 3)
    middle = root + heading * length / 2 + bend * length / 3
    end = root + heading * length + bend * length
    found.append((curve([root, middle, end], 6), np.linspace(radius, radius * 0.72, 6)))
    if depth == 0:
        return
    for spread in (-0.45, 0.4) if depth < 3 else (-0.5, 0.0, 0.45):
        turn = heading + spread * np.array([-heading[1], heading[0], 0.3]) + rng.normal(0, 0.16, 3)
        _grow(found, rng, end, turn / np.linalg.norm(turn), radius=radius * 0.68, depth=depth - 1)
