import numpy as np
import pytest
from drawn_regions import around, canvas

from radenhance.phantoms.anatomy.canvas import Pose
from radenhance.phantoms.anatomy.teeth import CANINES, put_teeth


def jaw(nose=-58.0, spacing_mm=0.25):
    size = (round(60 / spacing_mm), round(80 / spacing_mm))
    drawn = canvas(*size, spacing_mm, Pose((nose + 20, 20.0)))
    put_teeth(drawn, nose)
    return drawn


def crowns(drawn, y):
    """Number of cheek teeth that a line across the crowns meets."""
    row = drawn.bone[round(drawn.affine[1] @ (0, y, 1))]
    return int((np.diff((row > 0.12).astype(int)) == 1).sum())


def test_a_longer_muzzle_has_more_teeth():
    mass = [jaw(nose).bone.sum() for nose in (-58.0, -70.0)]
    assert mass[1] > 1.15 * mass[0]


def test_canines_are_longest_and_point_towards_the_other_jaw():
    drawn = jaw()
    for (root, tip, _), upper in zip(CANINES, (True, False), strict=True):
        assert (tip[1] > root[1]) == upper
        middle = np.mean([root, tip], axis=0)
        assert around(drawn.bone, drawn, -58 + middle[0], middle[1], 4).max() > 0.2


def test_roots_stand_in_the_jaws_and_crowns_between_them():
    drawn = jaw()
    assert crowns(drawn, 17.5) >= 1
    assert crowns(drawn, 25.5) >= 1
    assert not around(drawn.bone, drawn, -30, 5, 4).any()


def test_teeth_are_where_they_are_at_any_pixel_size():
    fine, coarse = jaw(spacing_mm=0.25), jaw(spacing_mm=0.5)
    assert coarse.bone.sum() * 4 == pytest.approx(fine.bone.sum(), rel=0.1)
