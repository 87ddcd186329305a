from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import CAT, around, canvas, mass_g, region

from radenhance.phantoms.anatomy.abdomen import put_abdomen
from radenhance.phantoms.anatomy.canvas import MATERIALS, Pose
from radenhance.phantoms.anatomy.torso import TRUNK, Projection
from radenhance.phantoms.physics import transmission


def belly(view="lateral", physique=CAT):
    """A trunk of flesh with a belly in it, and the flesh before."""
    center = (170.0, 15.0) if view == "lateral" else (0.0, 170.0)
    drawn = canvas(150, 160, 1.5, Pose(center))
    projection = Projection(view)
    drawn.put(projection.trunk(TRUNK, caps=(0.0, 20.0)), "soft")
    before = drawn.water.copy()
    put_abdomen(drawn, projection, physique)
    return drawn, before


@pytest.mark.parametrize("view", ["lateral", "ventrodorsal"])
def test_fat_and_gas_let_more_through_than_the_flesh_before(view):
    drawn, before = belly(view)
    none = np.zeros_like(before)
    more = transmission(drawn.water, drawn.bone, 60) - transmission(before, none, 60)
    assert (more > 1e-4).sum() > 0.3 * (before > 0.5).sum()
    assert np.percentile(more, 1) > -0.02  # grains of mineral in stomach and colon


def test_a_bladder_is_of_another_size_in_every_animal():
    masses = {round(mass_g(belly(physique=replace(CAT, number=n))[0].water, 1.5)) for n in range(5)}
    assert len(masses) > 2


def test_gas_takes_flesh_and_never_more_than_there_is():
    for number in range(4):
        drawn, before = belly(physique=replace(CAT, number=number))
        assert drawn.water.min() > -0.3
        assert mass_g(drawn.water, 1.5) < mass_g(before, 1.5)
        assert mass_g(drawn.water, 1.5) > 0.85 * mass_g(before, 1.5)


def test_the_belly_ends_at_the_ribs_and_the_tail():
    drawn, before = belly()
    changed = np.abs(drawn.water - before) + np.abs(drawn.bone) > 1e-5
    columns = np.flatnonzero(changed.any(0))
    first, last = (round(drawn.affine[0] @ (x, 0, 1)) for x in (80, 290))
    assert columns.min() >= first
    assert columns.max() <= last


def test_two_views_show_the_same_organs():
    lost = []
    for view in ("lateral", "ventrodorsal"):
        drawn, before = belly(view)
        lost.append(mass_g(before - drawn.water, 1.5) / MATERIALS["soft"].water)
    assert lost[0] == pytest.approx(lost[1], rel=0.25)


def test_a_whole_trunk_has_the_belly_in_its_place():
    drawn = region("trunk, lateral", spacing_mm=1.5)
    assert np.median(around(drawn.water, drawn, 190, 30, 3)) > 4
