import numpy as np
import pytest
from drawn_regions import canvas, reduced

from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.setting import LEAKAGE, collimator, put_marker, put_table
from radenhance.phantoms.anatomy.shapes import Ellipsoid


@pytest.mark.parametrize("seed", range(12))
def test_collimator_closes_one_to_four_sides(seed):
    passed, reach = collimator((120, 160), 1.0, generator(seed))
    closed = [r < half for r, half in zip(reach, (80, 60, 80, 60), strict=True)]
    assert 1 <= sum(closed) <= 4
    assert passed[60, 80] == 1
    borders = (passed[60, 0], passed[0, 80], passed[60, -1], passed[-1, 80])
    assert [b < 0.5 for b in borders] == closed


@pytest.mark.parametrize("letter", ["R", "L"])
def test_marker_lies_inside_the_field_in_the_emptiest_corner(letter):
    target = canvas(rows=160, columns=160, spacing_mm=0.5)
    target.put(Ellipsoid((-40, -40), (55, 55), 50), "soft")
    before = target.bone.copy()
    put_marker(target, letter, (60.0, 60.0, 36.0, 36.0), generator(3))
    rows, columns = np.nonzero(target.bone - before)
    assert len(rows) > 50
    assert rows.min() > 80
    assert columns.min() > 80
    assert rows.max() < 80 + 36 / 0.5
    assert columns.max() < 80 + 36 / 0.5


def test_a_field_is_the_same_scene_at_every_pixel_size():
    fine, reach = collimator((240, 320), 0.5, generator(4))
    coarse, again = collimator((120, 160), 1.0, generator(4))
    assert reach == pytest.approx(again)
    np.testing.assert_allclose(reduced(fine, coarse.shape), coarse, atol=0.2)


def test_leaves_let_a_little_through_and_nothing_is_amplified():
    passed, _ = collimator((120, 160), 1.0, generator(1))
    assert passed.min() == pytest.approx(LEAKAGE, rel=1e-3)
    assert passed.max() == 1


def test_a_marker_is_as_high_as_the_letters_of_a_clinic_at_every_pixel_size():
    heights = []
    for spacing in (0.25, 0.5):
        target = canvas(rows=int(100 / spacing), columns=int(100 / spacing), spacing_mm=spacing)
        put_marker(target, "R", (48.0, 48.0, 48.0, 48.0), generator(5))
        rows, columns = np.nonzero(target.bone > 1)
        heights.append(max(np.ptp(rows), np.ptp(columns)) * spacing)
    assert heights[0] == pytest.approx(heights[1], abs=1.5)
    assert 7 < heights[0] < 18


def test_r_and_l_differ():
    drawn = []
    for letter in "RL":
        target = canvas(rows=120, columns=120, spacing_mm=0.5)
        put_marker(target, letter, (28.0, 28.0, 28.0, 28.0), generator(5))
        drawn.append(target.bone)
    assert not np.array_equal(*drawn)


@pytest.mark.parametrize("seed", range(8))
def test_a_table_covers_the_detector_to_its_edge(seed):
    target = canvas(rows=100, columns=50, spacing_mm=1.0)
    put_table(target, generator(seed))
    thickness = target.water[:, 0]
    assert np.ptp(target.water, axis=1).max() == 0
    assert 0.25 <= thickness[0] <= 0.6
    assert np.all(thickness[:88] == thickness[0])
    assert thickness[-1] in (0, thickness[0])
    assert thickness.max() <= 0.6 + 0.8
