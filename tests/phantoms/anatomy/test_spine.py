import numpy as np
import pytest
from drawn_regions import CAT, around, canvas

from radenhance.phantoms.anatomy.canvas import Pose
from radenhance.phantoms.anatomy.spine import BONY_PAIRS, put_ribs, put_spine
from radenhance.phantoms.anatomy.torso import Projection, vertebrae


def spine(view):
    center = (130.0, -5.0) if view == "lateral" else (0.0, 130.0)
    size = (120, 560) if view == "lateral" else (560, 160)
    drawn = canvas(*size, 0.8, Pose(center))
    put_spine(drawn, Projection(view))
    return drawn


def ribs(view):
    center = (70.0, 15.0) if view == "lateral" else (0.0, 70.0)
    drawn = canvas(260, 260, 0.8, Pose(center))
    put_ribs(drawn, Projection(view, CAT.girth), CAT)
    return drawn


def along(drawn, view, group):
    """Bone along the middles of the vertebral bodies of a group, every 0.5 mm."""
    found = [v for v in vertebrae() if v.group == group]
    a = np.arange(found[0].a, found[-1].a + 0.1, 0.5)
    d = np.interp(a, [v.a for v in found], [v.d for v in found])
    points = np.column_stack([a, d] if view == "lateral" else [0 * a, a])
    column, row = np.rint(points @ drawn.affine[:, :2].T + drawn.affine[:, 2]).astype(int).T
    return drawn.bone[row, column], a


@pytest.mark.parametrize("view", ["lateral", "ventrodorsal"])
@pytest.mark.parametrize(("group", "count"), [("T", 13), ("L", 7)])
def test_a_disc_lies_between_any_two_vertebrae(view, group, count):
    drawn = spine(view)
    found = [v for v in vertebrae() if v.group == group]
    assert len(found) == count
    values, a = along(drawn, view, group)
    for first, second in zip(found[:-1], found[1:], strict=True):
        gap = (first.a + first.length / 2 + second.a - second.length / 2) / 2
        disc = values[np.abs(a - gap) <= 0.6].min()
        bodies = [values[np.abs(a - v.a) <= 2].mean() for v in (first, second)]
        assert disc < 0.9 * min(bodies)


def test_spinous_processes_point_away_from_the_belly():
    drawn = spine("lateral")
    for v in (v for v in vertebrae() if v.group in "TL"):
        above = around(drawn.bone, drawn, v.a, v.d - 10, 5).max()
        below = around(drawn.bone, drawn, v.a, v.d + 12, 2).max()
        assert above > 0.05
        assert below == 0


def test_the_spine_is_symmetrical_from_the_front():
    bone = spine("ventrodorsal").bone
    np.testing.assert_allclose(bone, bone[:, ::-1], atol=0.02)


def test_lumbar_vertebrae_have_the_widest_processes():
    drawn = spine("ventrodorsal")

    def width(a):
        row = drawn.bone[round(drawn.affine[1] @ (0, a, 1)) - 6 :][:12].max(0)
        return np.ptp(np.flatnonzero(row > 0.02))

    found = vertebrae()
    lumbar = max(width(v.a) for v in found if v.group == "L")
    assert lumbar > 1.5 * max(width(v.a) for v in found if v.group == "T")


def test_thirteen_ribs_cross_a_line_beside_the_spine():
    drawn = ribs("ventrodorsal")
    first, last = (round(drawn.affine[1] @ (0, a, 1)) for a in (-10, 175))
    counts = []
    for column in range(138, 150):
        crossed = drawn.bone[first:last, column] > 0.05
        counts.append(int((np.diff(crossed.astype(int)) == 1).sum()))
    assert np.median(counts) == pytest.approx(BONY_PAIRS, abs=2)


def test_ribs_of_both_sides_are_alike_but_not_equal():
    bone = ribs("ventrodorsal").bone
    assert 0.2 < np.corrcoef(bone.ravel(), bone[:, ::-1].ravel())[0, 1] < 0.9999


def test_the_breastbone_lies_at_the_belly_side():
    drawn = ribs("lateral")
    assert around(drawn.bone, drawn, 30, 50, 3).max() > 0.1
    assert around(drawn.bone, drawn, 30, -30, 3).max() == 0
