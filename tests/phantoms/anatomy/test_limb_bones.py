import numpy as np
import pytest
from drawn_regions import around, canvas, mass_g

from radenhance.phantoms.anatomy.canvas import Pose
from radenhance.phantoms.anatomy.limb_bones import flesh, put_femur, put_humerus, put_tibia_head


def bone(put, *joints, center=(0.0, 45.0), **measures):
    drawn = canvas(500, 300, 0.25, Pose(center))
    put(drawn, *joints, **measures)
    return drawn


def width(drawn, y):
    return (drawn.bone[round(drawn.affine[1] @ (0, y, 1))] > 0.02).sum() * 0.25


@pytest.mark.parametrize("put", [put_humerus, put_femur])
def test_a_long_bone_is_narrow_in_the_middle_and_wide_at_its_joints(put):
    drawn = bone(put, (0, 0), (0, 90), radius=3.4, turn=1.0)
    middle = width(drawn, 45)
    assert middle == pytest.approx(2 * 3.4, rel=0.25)
    assert width(drawn, 88) > 1.8 * middle
    assert max(width(drawn, y) for y in (0, 3, 6)) > 1.5 * middle


@pytest.mark.parametrize("put", [put_humerus, put_femur])
def test_two_condyles_show_from_the_front_and_cover_each_other_from_the_side(put):
    front, side = (bone(put, (0, 0), (0, 90), radius=3.4, turn=turn) for turn in (1.0, 0.0))
    assert width(front, 89) > 1.1 * width(side, 89)


@pytest.mark.parametrize("put", [put_humerus, put_femur])
def test_a_shaft_has_cortex_around_marrow(put):
    drawn = bone(put, (0, 0), (0, 90), radius=3.4, turn=0.0)
    row = drawn.bone[round(drawn.affine[1] @ (0, 45, 1))]
    filled = np.flatnonzero(row > 0.02)
    middle = row[(filled[0] + filled[-1]) // 2]
    assert row.max() > 1.2 * middle > 0


def test_the_neck_of_the_femur_points_to_the_body_on_either_side():
    left, right = (
        bone(put_femur, (0, 0), (turn * 5, 90), radius=3.4, turn=turn) for turn in (-1, 1)
    )
    np.testing.assert_allclose(left.bone, right.bone[:, ::-1], atol=0.03)
    assert around(right.bone, right, 8, 4, 3).max() > around(right.bone, right, -8, 4, 3).max()


def test_a_thicker_bone_has_more_mineral():
    masses = [
        mass_g(bone(put_femur, (0, 0), (0, 90), radius=r, turn=0.0).bone, 0.25) for r in (3.0, 4.0)
    ]
    assert 1.4 < masses[1] / masses[0] < 2.2


def test_a_shin_bone_begins_at_the_stifle():
    drawn = bone(put_tibia_head, (0, 0), (0, 90))
    assert width(drawn, 3.2) == pytest.approx(14, rel=0.2)
    assert width(drawn, 60) < 0.6 * width(drawn, 3.2)
    assert width(drawn, -8) == 0


def test_flesh_passes_through_its_points_with_their_radii():
    drawn = canvas(500, 300, 0.25, Pose((0.0, 45.0)))
    drawn.put(flesh([(0, 0), (0, 45), (0, 90)], [20, 10, 15], flatness=1.0), "soft")
    for y, radius in ((0, 20), (45, 10)):
        row = drawn.water[round(drawn.affine[1] @ (0, y, 1))]
        assert (row > 0).sum() * 0.25 == pytest.approx(2 * radius, rel=0.08)
        assert row.max() / 1.04 == pytest.approx(2 * radius / 10, rel=0.08)
