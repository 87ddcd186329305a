import numpy as np
import pytest
from drawn_regions import canvas

from radenhance.phantoms.anatomy.bones import Frame
from radenhance.phantoms.anatomy.canvas import Pose
from radenhance.phantoms.anatomy.paw import Toes, put_paw

TOES = Toes(25.0, radius=1.5, gap=3.9)


def paw(*, frontal=True, thumb=False, toes=TOES):
    drawn = canvas(320, 240, 0.25, Pose((0.0, 30.0)))
    put_paw(drawn, Frame((0, 0), 90.0), toes, frontal=frontal, thumb=thumb)
    return drawn


def bones_across(drawn, y):
    row = drawn.bone[round(drawn.affine[1] @ (0, y, 1))]
    return int((np.diff((row > 0.03).astype(int)) == 1).sum())


@pytest.mark.parametrize("y", [8, 12, 16])
def test_four_toes_lie_side_by_side_from_the_front(y):
    assert bones_across(paw(), y) == 4


def test_a_thumb_is_a_fifth_and_shorter_toe():
    assert bones_across(paw(thumb=True), 5) == 5
    assert bones_across(paw(thumb=True), 20) == 4


def test_toes_overlap_from_the_side():
    drawn = paw(frontal=False, toes=Toes(25.0, radius=1.5, gap=1.3))
    assert bones_across(drawn, 12) < 4
    assert np.ptp(np.flatnonzero(drawn.bone.any(0))) < np.ptp(np.flatnonzero(paw().bone.any(0)))


def test_a_paw_is_symmetrical_from_the_front():
    bone = paw().bone
    assert np.corrcoef(bone.ravel(), bone[:, ::-1].ravel())[0, 1] > 0.95


def test_outer_toes_are_shorter():
    bone = paw().bone
    columns = [np.flatnonzero(bone[:, c]).max(initial=0) for c in range(240)]
    inner = max(columns[90:150])
    outer = max(columns[:85])
    assert outer < inner


def test_longer_metapodial_bones_make_a_longer_paw():
    lengths = [
        np.flatnonzero(paw(toes=Toes(mm, radius=1.5, gap=3.9)).bone.any(1)).max() * 0.25
        for mm in (20.0, 25.0)
    ]
    assert lengths[1] - lengths[0] == pytest.approx(5, abs=0.6)
