import numpy as np
import pytest
from drawn_regions import volume_cm3

from radenhance.phantoms.anatomy.torso import Projection, section, spine_d, vertebrae


def test_a_cat_has_thirteen_thoracic_and_seven_lumbar_vertebrae_in_a_row():
    found = vertebrae()
    assert [sum(v.group == g for v in found) for g in ("T", "L", "S")] == [13, 7, 3]
    ends = [(v.a - v.length / 2, v.a + v.length / 2) for v in found]
    assert all(b[0] > a[1] for a, b in zip(ends[:-1], ends[1:], strict=True))


def test_two_views_of_an_organ_have_the_same_volume():
    views = [
        Projection(view, girth=1.2).organ((3.0, 4.0, 5.0), (6.0, 7.0, 8.0))
        for view in ("lateral", "ventrodorsal")
    ]
    lateral, frontal = (volume_cm3(shape) for shape in views)
    assert lateral == pytest.approx(frontal, rel=0.01)
    assert lateral == pytest.approx(4 / 3 * np.pi * 0.6 * 0.7 * 0.8 * 1.2, rel=0.01)


def test_vertebrae_follow_the_line_of_the_spine_and_grow_towards_the_loins():
    found = vertebrae()
    for v in found:
        assert v.d == pytest.approx(spine_d(v.a))
        assert abs(v.angle_deg) < 45
    lengths = {g: [v.length for v in found if v.group == g] for g in ("T", "L")}
    assert max(lengths["T"]) < min(lengths["L"])


@pytest.mark.parametrize("a", np.linspace(-60, 260, 9).tolist())
def test_the_spine_lies_inside_the_trunk(a):
    top, bottom, half = section(a)
    assert top < spine_d(a) < bottom
    assert half > 0


def test_a_wider_animal_is_wider_from_the_front_and_deeper_from_the_side():
    table = np.array([(0.0, -20, 30, 20), (100.0, -20, 30, 20)])
    for view in ("lateral", "ventrodorsal"):
        slim, stout = (Projection(view, girth).trunk(table) for girth in (1.0, 1.5))
        _, left, right, depth = (np.array(s) for s in zip(*slim.stations, strict=True))
        _, left2, right2, depth2 = (np.array(s) for s in zip(*stout.stations, strict=True))
        wide = (left2 + right2) / (left + right)
        deep = depth2 / depth
        expected = (1.0, 1.5) if view == "lateral" else (1.5, 1.0)
        assert (wide[0], deep[0]) == pytest.approx(expected)


def test_two_views_share_the_coordinate_along_the_body():
    lateral, frontal = (
        Projection(view).point(7.0, 8.0, 9.0) for view in ("lateral", "ventrodorsal")
    )
    assert lateral == (7.0, 8.0, 9.0)
    assert frontal == (9.0, 7.0, 8.0)


def test_a_tube_has_the_same_volume_in_both_views():
    line = np.array([(0.0, 0.0, 0.0), (10.0, 4.0, 6.0)])
    volumes = [
        volume_cm3(Projection(view).tube(line, np.array([2.0, 2.0])))
        for view in ("lateral", "ventrodorsal")
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)
