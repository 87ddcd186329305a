import numpy as np
import pytest
from drawn_regions import path, volume_cm3

from radenhance.phantoms.anatomy.bones import rod
from radenhance.phantoms.anatomy.tube import Tube


def test_chords_of_a_tube_add_up_to_its_volume():
    found = volume_cm3(rod([(-12, 3), (12, -2)], 3.0))
    length = np.hypot(24, 5) / 10
    assert found == pytest.approx(np.pi * 0.09 * length + 4 / 3 * np.pi * 0.027, rel=0.02)


def test_a_tube_that_runs_into_the_depth_has_a_longer_chord():
    flat = Tube(np.array([(-5.0, 0, 0), (5.0, 0, 0)]), np.array([2.0, 2.0]))
    deep = Tube(np.array([(-5.0, 0, 0), (5.0, 0, 10)]), np.array([2.0, 2.0]))
    ratio = path(deep)[100, 100] / path(flat)[100, 100]
    assert ratio == pytest.approx(np.sqrt(2), rel=0.01)


def test_radii_change_smoothly_between_points():
    cone = Tube(np.array([(-10.0, 0, 0), (10.0, 0, 0)]), np.array([1.0, 3.0]))
    middle = path(cone)[100]
    found = [middle[round(99.5 + x / 0.25)] for x in (-8, 0, 8)]
    assert found == pytest.approx([2 * 0.12, 2 * 0.2, 2 * 0.28], rel=0.06)


def test_a_flat_tube_is_thinner_and_as_wide():
    line = np.array([(-10.0, 0, 0), (10.0, 0, 0)])
    round_, flat = (path(Tube(line, np.array([3.0, 3.0]), f)) for f in (1.0, 0.5))
    assert flat.max() == pytest.approx(0.5 * round_.max(), rel=0.01)
    assert (flat > 0).sum() == (round_ > 0).sum()


def test_obliquity_lengthens_a_chord_up_to_a_limit():
    steep = Tube(np.array([(-1.0, 0, 0), (1.0, 0, 100)]), np.array([2.0, 2.0]))
    assert path(steep).max() == pytest.approx(2.5 * 0.4, rel=0.02)


def test_a_wall_is_what_a_thinner_tube_leaves():
    tube = rod([(-10, 0), (10, 0)], 3.0)
    outer, inner = path(tube)[100, 100], path(tube.shrunk(1))[100, 100]
    assert outer - inner == pytest.approx(0.2, rel=0.03)
    assert not path(tube.shrunk(3)).any()


def test_a_tube_that_leaves_the_detector_is_cut_and_not_moved():
    whole = path(rod([(-40, 0), (40, 0)], 3.0), rows=400, columns=400)
    cut = path(rod([(-40, 0), (40, 0)], 3.0))
    np.testing.assert_allclose(cut, whole[100:300, 100:300], atol=0.02)
