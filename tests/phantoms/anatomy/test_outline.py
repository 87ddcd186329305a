import numpy as np
import pytest
from drawn_regions import path

from radenhance.phantoms.anatomy.curves import corners
from radenhance.phantoms.anatomy.outline import Outline


def test_a_plate_has_its_thickness_inside_and_none_in_its_hole():
    square, hole = corners("-15,-15 15,-15 15,15 -15,15"), corners("-3,-3 3,-3 3,3 -3,3")
    plate = Outline(np.array(square), 2.0, 1.0, holes=(np.array(hole),))
    found = path(plate)
    assert found[100, 100] == 0
    assert found[100, 135] == pytest.approx(0.2, rel=0.01)
    assert found[100, 170] == 0


SQUARE = np.array(corners("-15,-15 15,-15 15,15 -15,15"))


def test_a_rim_makes_the_edge_thicker_than_the_middle():
    found = path(Outline(SQUARE, 1.0, 2.0, rim=2.0))
    assert found[100, 100] == pytest.approx(0.1, rel=0.05)
    assert found[100, 100 + 52] > 2 * found[100, 100]


def test_a_plate_rises_from_its_edge():
    found = path(Outline(SQUARE, 2.0, 4.0))[100]
    edge = 100 + round(15 / 0.25)
    rise = found[edge - 16 : edge - 1][::-1]
    assert np.all(np.diff(rise) >= -1e-6)
    assert rise[0] < 0.8 * rise[-1]


def test_only_the_thickness_shrinks():
    plate = Outline(SQUARE, 2.0, 1.0)
    thin = plate.shrunk(0.5)
    assert path(thin)[100, 100] == pytest.approx(0.1, rel=0.02)
    assert (path(thin) > 0).sum() == (path(plate) > 0).sum()
    assert not path(plate.shrunk(1.0)).any()


def test_bounds_are_the_corners():
    assert Outline(SQUARE, 1.0, 1.0).bounds == (-15, -15, 15, 15)
