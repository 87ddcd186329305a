from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import CAT, around, canvas

from radenhance.phantoms.anatomy.canvas import Pose
from radenhance.phantoms.anatomy.girdles import (
    Limb,
    arms,
    limb_flesh,
    put_pelvis,
    put_shoulders,
    thighs,
)
from radenhance.phantoms.anatomy.torso import Projection

LATERAL, FRONTAL = Projection("lateral"), Projection("ventrodorsal")


def pelvis(projection, physique=CAT):
    center = (265.0, 35.0) if projection.view == "lateral" else (0.0, 285.0)
    drawn = canvas(260, 260, 0.8, Pose(center))
    put_pelvis(drawn, projection, physique)
    return drawn


@pytest.mark.parametrize("place", [arms, thighs])
def test_two_limbs_lie_on_two_sides_from_the_front_and_almost_over_each_other_from_the_side(place):
    left, right = place(FRONTAL, CAT)
    assert left.upper[0] < 0 < right.upper[0]
    assert (left.side, right.side) == (-1, 1)
    one, other = place(LATERAL, CAT)
    assert np.hypot(*np.subtract(one.upper, other.upper)) < 16
    assert one.upper != other.upper


@pytest.mark.parametrize("place", [arms, thighs])
def test_limbs_of_one_animal_lie_alike_every_time_and_of_others_elsewhere(place):
    assert place(LATERAL, CAT) == place(LATERAL, CAT)
    assert place(LATERAL, CAT) != place(LATERAL, replace(CAT, number=8))


def test_arms_are_pulled_forward_and_thighs_back():
    for arm in arms(LATERAL, CAT):
        assert arm.lower[0] < arm.upper[0] - 20
    for leg in thighs(FRONTAL, CAT):
        assert leg.lower[1] > leg.upper[1] + 60


def test_a_limb_moves_its_tables_to_its_side_and_place():
    limb = Limb((0, 0), (0, 10), -1.0, (2.0, 3.0))
    assert limb.moved([(10.0, 5.0)]) == [(-8.0, 8.0)]


def test_flesh_covers_both_joints_of_every_limb():
    for projection in (LATERAL, FRONTAL):
        limbs = [*arms(projection, CAT), *thighs(projection, CAT)]
        shapes = limb_flesh(projection, CAT)
        assert len(shapes) == len(limbs) == 4
        for limb, shape in zip(limbs, shapes, strict=True):
            drawn = canvas(400, 400, 1.0, Pose((limb.lower[0], limb.lower[1])))
            drawn.put(shape, "soft")
            for joint in (limb.upper, limb.lower):
                assert around(drawn.water, drawn, *joint, 0).min() > 1


def test_the_pelvis_has_a_hole_on_each_side_from_the_front():
    drawn = pelvis(FRONTAL)
    for side in (-1, 1):
        hole = around(drawn.bone, drawn, side * 9, 275, 1).mean()
        floor = around(drawn.bone, drawn, side * 3, 275, 1).mean()
        assert hole < 0.5 * floor


def test_the_femoral_heads_lie_in_their_cups():
    drawn = pelvis(FRONTAL)
    for leg in thighs(FRONTAL, CAT):
        assert around(drawn.bone, drawn, *leg.upper, 1).min() > 0.15


def test_a_shaft_runs_from_hip_to_stifle():
    for projection in (LATERAL, FRONTAL):
        drawn = pelvis(projection)
        for leg in thighs(projection, CAT):
            x, y = np.mean([leg.upper, leg.lower], axis=0)
            assert around(drawn.bone, drawn, x, y, 6).max() > 0.2


def test_shoulder_blades_lie_over_the_first_ribs():
    for projection, center in ((LATERAL, (0.0, 10.0)), (FRONTAL, (0.0, 0.0))):
        drawn = canvas(260, 260, 0.8, Pose(center))
        put_shoulders(drawn, projection, CAT)
        assert drawn.bone.max() > 0.3
        for arm in arms(projection, CAT):
            assert around(drawn.bone, drawn, *arm.upper, 2).max() > 0.2
