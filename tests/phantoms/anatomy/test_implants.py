import numpy as np
import pytest
from drawn_regions import canvas

from radenhance.phantoms.anatomy import implants
from radenhance.phantoms.anatomy.bones import Frame
from radenhance.phantoms.anatomy.canvas import Pose
from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.implants import put_implant
from radenhance.phantoms.anatomy.shapes import Ellipsoid


@pytest.mark.parametrize("seed", range(8))
def test_implants_lie_in_flesh_or_nowhere(seed):
    empty, filled = canvas(rows=400, columns=400), canvas(rows=400, columns=400)
    put_implant(empty, generator(seed))
    assert not empty.bone.any()
    filled.put(Ellipsoid((0, 0), (48, 48), 40), "soft")
    before = filled.water.copy()
    put_implant(filled, generator(seed))
    assert filled.bone.max() > 0.01
    implant = filled.bone > 0.01  # a catheter may leave the body
    assert (before[implant] > 1).mean() > 0.6


def drawn(put, scale=1.0, spacing_mm=0.1):
    target = canvas(rows=900, columns=900, spacing_mm=spacing_mm, pose=Pose(scale=scale))
    put(target, Frame((0, 0), 0.0), 1 / scale)
    return target.bone


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_microchip_is_12_mm_by_2_mm_in_a_cat_and_in_a_great_dane(scale):
    rows, columns = np.nonzero(drawn(implants._put_microchip, scale) > 0.001)
    assert np.ptp(columns) * 0.1 == pytest.approx(12.0, abs=0.5)
    assert np.ptp(rows) * 0.1 == pytest.approx(2.1, abs=0.3)


def test_steel_is_far_denser_than_bone():
    for put in (implants._put_staples, implants._put_screw):
        assert drawn(put).max() > 1.0


def test_seven_staples_stand_in_a_row():
    columns = (drawn(implants._put_staples) > 0.2).any(0)
    assert (np.diff(columns.astype(int)) == 1).sum() == 7


def test_a_catheter_is_a_tube_with_an_open_lumen():
    profile = drawn(implants._put_catheter)[:, 450]
    wall = np.flatnonzero(profile > 0.005)
    middle = profile[(wall.min() + wall.max()) // 2]
    assert middle < 0.8 * profile.max()
    assert np.ptp(wall) * 0.1 == pytest.approx(2.2, abs=0.4)


def test_every_kind_is_drawn_sometimes():
    found = set()
    for seed in range(40):
        target = canvas(rows=120, columns=120, spacing_mm=0.8)
        target.put(Ellipsoid((0, 0), (48, 48), 40), "soft")
        put_implant(target, generator(seed))
        found.add(round(float(target.bone.max()), 1))
    assert len(found) >= 4
