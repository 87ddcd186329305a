import numpy as np
import pytest
from drawn_regions import SPACING_MM, canvas

from radenhance.phantoms.anatomy.bones import (
    Frame,
    Hollow,
    ball,
    put_bone,
    put_hollow,
    put_plate,
    rod,
    shaft,
)
from radenhance.phantoms.anatomy.canvas import MATERIALS
from radenhance.phantoms.anatomy.curves import corners


def test_cortex_is_brighter_than_marrow():
    target = canvas()
    put_bone(target, shaft((-15, 0), (15, 0), [4, 4, 4]), cortex_mm=1.0, marrow=0.0)
    column = target.bone[:, 100]
    edge = 100 - int(3.5 / SPACING_MM)
    assert column[edge] > 1.5 * column[100]


def test_no_wall_stands_between_the_parts_of_a_bone():
    parts = [shaft((-15, 0), (2, 0), [3, 3, 3]), ball((4, 0), 5)]
    joined, apart = canvas(), canvas()
    put_hollow(joined, [Hollow(part, 0.8, 0.0) for part in parts])
    for part in parts:
        put_bone(apart, part, cortex_mm=0.8, marrow=0.0)
    assert joined.bone.sum() < apart.bone.sum()
    assert joined.bone[100, 100:112].max() < apart.bone[100, 100:112].max()


def test_a_marrow_of_more_mineral_is_brighter():
    found = []
    for marrow in (0.0, 0.3):
        target = canvas()
        put_bone(target, ball((0, 0), 8), cortex_mm=0.8, marrow=marrow)
        found.append(target.bone[100, 100])
    inside = 2 * (8 - 0.8) / 10
    assert found[0] == pytest.approx(0.85 * 0.16, rel=0.02)
    assert found[1] - found[0] == pytest.approx(0.3 * inside, rel=0.02)


def test_a_bone_takes_as_much_flesh_as_it_puts_mineral():
    target = canvas()
    target.put(ball((0, 0), 20), "soft")
    before = target.water.copy()
    put_bone(target, ball((0, 0), 8), cortex_mm=0.8)
    lost = (before - target.water) / MATERIALS["soft"].water
    np.testing.assert_allclose(lost, target.bone, atol=1e-5)


def test_a_flat_bone_has_its_holes():
    target = canvas()
    hole = corners("-3,-3 3,-3 3,3 -3,3")
    square = corners("-15,-15 15,-15 15,15 -15,15")
    put_plate(target, square, thickness=2.0, edge=1.0, holes=[hole])
    assert target.bone[100, 100] == 0
    assert target.bone[100, 132] == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize(("half", "depth", "expected"), [((6,), None, 6), ((6, 4), None, 5)])
def test_a_ball_is_as_deep_as_it_is_wide_on_average(half, depth, expected):
    assert ball((0, 0), *half, depth=depth).depth == expected


def test_a_rod_spreads_its_radii_evenly():
    found = rod([(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)], 1.0, 3.0)
    np.testing.assert_allclose(found.radii, (1, 1.5, 2, 2.5, 3))
    assert found.points.shape == (5, 3)


@pytest.mark.parametrize("end", [(5, 0), (0, 5), (-3, -4), (1, -2)])
def test_a_frame_looks_from_its_origin_to_the_end(end):
    frame = Frame.between((0, 0), end)
    length = float(np.hypot(*end))
    assert frame.at(length, 0) == pytest.approx(end)
    assert frame.at(0, 1) == pytest.approx((-end[1] / length, end[0] / length))
