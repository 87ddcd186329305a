"""Solids and regions of phantoms, drawn into canvases of air."""

from functools import cache, partial

import cv2
import numpy as np

from radenhance.phantoms.anatomy.canvas import Pose, blank_canvas
from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.forelimb import put_forelimb
from radenhance.phantoms.anatomy.hindlimb import put_hindlimb
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.skull import put_skull
from radenhance.phantoms.anatomy.texture import power_law_tile
from radenhance.phantoms.anatomy.trunk import put_trunk
from radenhance.phantoms.anatomy.turtle import put_turtle

SPACING_MM = 0.25
NO_GRAIN = np.zeros((8, 8), np.float32)

CAT = Physique(7, "cat", "Manx", scale=1.0, girth=1.0, fat_mm=2.5, sex="F", age_years=5)
DOG = Physique(7, "dog", "Beagle", scale=1.0, girth=1.0, fat_mm=2.5, sex="F", age_years=5)
TURTLE = Physique(7, "turtle", "Box Turtle", scale=1.0, girth=1.0, fat_mm=2.0, sex="M", age_years=5)

# Region: what draws it, the body point in the middle, and the field in mm.
REGIONS = {
    "trunk, lateral": (partial(put_trunk, view="lateral"), (110.0, 15.0), (200, 460)),
    "trunk, frontal": (partial(put_trunk, view="ventrodorsal"), (0.0, 110.0), (460, 220)),
    "skull": (put_skull, (-12.0, 6.0), (150, 220)),
    "forelimb, lateral": (partial(put_forelimb, frontal=False), (0.0, 20.0), (330, 200)),
    "forelimb, frontal": (partial(put_forelimb, frontal=True), (0.0, 20.0), (330, 120)),
    "hindlimb, lateral": (partial(put_hindlimb, frontal=False), (0.0, 20.0), (330, 260)),
    "hindlimb, frontal": (partial(put_hindlimb, frontal=True), (0.0, 20.0), (420, 120)),
    "turtle": (put_turtle, (0.0, 0.0), (230, 160)),
}


def canvas(rows=200, columns=200, spacing_mm=SPACING_MM, pose=None):
    """A canvas of air without texture."""
    blank = blank_canvas(rows, columns, spacing_mm=spacing_mm, grain=NO_GRAIN)
    return blank.posed(pose or Pose())


def path(shape, **options):
    """Path length in cm of a shape of water, over the whole detector."""
    target = canvas(**options)
    target.put(shape, "water")
    return target.water


def volume_cm3(shape, spacing_mm=SPACING_MM, **options):
    """Volume of a shape as its chords add up to it."""
    return mass_g(path(shape, spacing_mm=spacing_mm, **options), spacing_mm)


def mass_g(path_cm, spacing_mm):
    """Integral of path lengths over the detector: cm3, which of water are grams."""
    return path_cm.sum(dtype=np.float64) * (spacing_mm / 10) ** 2


def region(name, physique=None, *, spacing_mm=1.0, texture=False, field_mm=None, **pose):
    """A canvas with a whole region on it, in the middle unless a pose says otherwise."""
    put, center, size = REGIONS[name]
    rows, columns = (round(side / spacing_mm) for side in field_mm or size)
    grain = power_law_tile(generator(3), spacing_mm=spacing_mm) if texture else NO_GRAIN
    blank = blank_canvas(rows, columns, spacing_mm=spacing_mm, grain=grain)
    drawn = blank.posed(Pose(**{"center": center} | pose))
    put(drawn, physique or (TURTLE if name == "turtle" else CAT))
    return drawn


@cache
def shared_region(name, physique=None, **options):
    """A region as `region` draws it, drawn once for all tests that only look at it."""
    return region(name, physique, **options)


def pixel(drawn, x, y):
    """Row and column of a body point."""
    column, row = drawn.affine @ (x, y, 1)
    return round(row), round(column)


def around(array, drawn, x, y, reach=2):
    """Pixels of a map around a body point."""
    row, column = pixel(drawn, x, y)
    return array[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]


def reduced(array, shape):
    """A map averaged down to a shape."""
    return cv2.resize(array, shape[::-1], interpolation=cv2.INTER_AREA)


def correlation(first, second):
    """Correlation of two maps of one shape."""
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]
