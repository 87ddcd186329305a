from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import CAT, around, region

from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.thorax import HILUS, cavity, dome, lung_vessels, put_thorax
from radenhance.phantoms.anatomy.torso import Projection, section, spine_d


@pytest.fixture(scope="module")
def lateral():
    return region("trunk, lateral")


@pytest.fixture(scope="module")
def frontal():
    return region("trunk, frontal")


def test_lungs_are_darker_than_heart_and_belly_from_the_side(lateral):
    lung = np.median(around(lateral.water, lateral, 95, 10, 4))
    heart = np.median(around(lateral.water, lateral, 47, 38, 4))
    belly = np.median(around(lateral.water, lateral, 185, 25, 4))
    assert lung < 0.8 * heart
    assert lung < 0.8 * belly


def test_lungs_lie_on_both_sides_of_the_heart_from_the_front(frontal):
    right, heart, left = (np.median(around(frontal.water, frontal, x, 45, 3)) for x in (-28, 2, 28))
    assert max(right, left) < 0.8 * heart


def test_the_windpipe_is_a_dark_band_before_the_lungs(lateral):
    rows = lateral.water[:, round(lateral.affine[0] @ (-60, 0, 1))]
    tube = rows[round(lateral.affine[1] @ (0, 6, 1))]
    above, below = (rows[round(lateral.affine[1] @ (0, y, 1))] for y in (0, 12))
    assert tube < (above + below) / 2 - 0.2


def test_the_cavity_lies_inside_the_trunk_below_the_spine():
    for a in np.linspace(0, 140, 8).tolist():
        top, bottom, half = section(a)
        assert top < spine_d(a) + 6 < bottom - 11.5
        assert half > 8
    stations = cavity(Projection("lateral")).stations
    assert all(-left < right for _, left, right, _ in stations)


def test_the_diaphragm_moves_with_the_breath():
    fronts = {dome(Projection("lateral"), replace(CAT, number=n)).center[0] for n in range(12)}
    assert len(fronts) == 12
    assert max(fronts) - min(fronts) < 12


def test_vessels_start_at_the_hilus_and_thin_out():
    branches = lung_vessels(generator(1))
    assert len(branches) == 12 * (1 + 3 + 6 + 12)
    radii = [r for _, r in branches]
    assert max(r.max() for r in radii) == 1.7
    assert all(r[0] > r[-1] for r in radii)
    assert min(r.min() for r in radii) < 0.5
    first = branches[0][0][0]
    assert np.linalg.norm(first - HILUS) < 12
    sides = [np.sign(points[0, 2]) for points, _ in branches]
    assert sides.count(1) == sides.count(-1)


def test_a_vessel_goes_on_where_its_stem_ends():
    branches = lung_vessels(generator(2))
    ends = np.array([points[-1] for points, _ in branches])
    starts = np.array([points[0] for points, _ in branches])
    away = np.linalg.norm(starts[:, None] - ends, axis=2).min(1)
    assert (away < 1e-9).sum() == len(branches) - 12


def test_vessels_are_drawn_into_the_lungs_alone():
    drawn = region("trunk, lateral", spacing_mm=1.5)
    before = drawn.water.copy()
    put_thorax(drawn, Projection("lateral"), CAT)
    changed = np.abs(drawn.water - before) > 1e-6
    row, column = np.nonzero(changed)
    belly = drawn.affine[0] @ (200, 0, 1)
    assert changed.any()
    assert column.max() < belly
