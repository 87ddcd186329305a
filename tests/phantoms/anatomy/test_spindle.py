import numpy as np
import pytest
from drawn_regions import path, volume_cm3

from radenhance.phantoms.anatomy.spindle import Spindle


def test_chords_of_a_capless_spindle_add_up_to_its_volume():
    shape = Spindle((-10, 0), (10, 0), [(0, 4, 4, 6), (1, 4, 4, 6)])
    assert volume_cm3(shape) == pytest.approx(np.pi * 0.4 * 0.6 * 2.0, rel=0.03)


def test_half_widths_are_to_the_left_and_right_of_who_walks_along_the_axis():
    shape = Spindle((-10, 0), (10, 0), [(0, 2, 6, 4), (1, 2, 6, 4)])
    rows = np.flatnonzero(path(shape)[:, 100])
    above, below = 99.5 - rows.min(), rows.max() - 99.5
    assert above == pytest.approx(2 / 0.25, abs=1)
    assert below == pytest.approx(6 / 0.25, abs=1)


def test_an_end_without_a_cap_is_cut_flat_and_one_with_a_cap_is_round():
    stations = [(0, 4, 4, 4), (1, 4, 4, 4)]
    found = path(Spindle((-10, 0), (10, 0), stations, caps=(0.0, 6.0)))
    flat, round_ = found[:, 61], found[:, 137]
    assert (flat > 0).sum() == pytest.approx(8 / 0.25, abs=2)
    assert (round_ > 0).sum() < 0.6 * (flat > 0).sum()


def test_a_boxy_section_is_fuller_and_as_thick():
    stations = [(0, 4, 4, 4), (1, 4, 4, 4)]
    plain, boxy = (path(Spindle((-10, 0), (10, 0), stations, boxiness=b)) for b in (1.0, 2.0))
    assert boxy.max() == pytest.approx(plain.max(), rel=0.01)
    assert boxy.sum() > 1.05 * plain.sum()


def test_the_direction_of_the_axis_does_not_change_the_solid():
    stations = [(0, 3, 3, 3), (0.4, 5, 5, 2), (1, 2, 2, 4)]
    found = path(Spindle((-12, 0), (12, 0), stations))
    back = path(Spindle((12, 0), (-12, 0), [(1 - s, *r) for s, *r in stations[::-1]]))
    np.testing.assert_allclose(found, back, atol=0.02)
    down = path(Spindle((0, -12), (0, 12), stations))
    np.testing.assert_allclose(found, down.T, atol=0.02)


def test_the_cortex_of_a_shaft_thins_at_the_ends():
    outer = Spindle((-20, 0), (20, 0), [(0, 5, 5, 5), (0.5, 5, 5, 5), (1, 5, 5, 5)])
    wall = path(outer) - path(outer.shrunk(1.5))
    assert wall[100, 100] > 1.6 * wall[100, 30]
