import numpy as np
import pytest
from drawn_regions import around, canvas, correlation

from radenhance.phantoms.anatomy.bones import Frame
from radenhance.phantoms.anatomy.vertebra import put_vertebra_frontal, put_vertebra_lateral


def lateral(frame=None, **measures):
    drawn = canvas(240, 240, 0.2)
    options = {"length": 12.0, "height": 8.0, "spine": (0.0, 8.0)} | measures
    put_vertebra_lateral(drawn, frame or Frame((0, 0), 0.0), **options)
    return drawn


def frontal(**measures):
    drawn = canvas(240, 240, 0.2)
    put_vertebra_frontal(drawn, Frame((0, 0), 90.0), **({"length": 12.0, "width": 11.0} | measures))
    return drawn


def test_a_body_has_its_length_and_height():
    drawn = lateral()
    columns = np.flatnonzero(drawn.bone[120] > 0.02)
    assert np.ptp(columns) * 0.2 == pytest.approx(12, abs=0.8)
    rows = np.flatnonzero(drawn.bone[121:, 120] > 0.02)
    assert rows.max() * 0.2 == pytest.approx(4 * 0.84, abs=0.8)


def test_end_plates_are_higher_than_the_middle():
    drawn = lateral()
    low = [np.flatnonzero(drawn.bone[:, c] > 0.02).max() for c in (120 - 26, 120, 120 + 26)]
    assert low[1] < min(low[0], low[2])


@pytest.mark.parametrize("tall", [4.0, 8.0, 14.0])
def test_a_spinous_process_is_as_tall_as_asked(tall):
    rows = np.flatnonzero((lateral(spine=(0.0, tall)).bone > 0.01).any(1))
    top = (119.5 - rows.min()) * 0.2
    assert top == pytest.approx(4 + 0.62 * 8 + tall, abs=2)


def test_a_spinous_process_leans_caudally():
    upright, leaning = (lateral(spine=(lean, 12.0)) for lean in (0.0, 6.0))

    def middle(drawn):
        return np.flatnonzero((drawn.bone[:50] > 0.01).any(0)).mean() * 0.2

    assert middle(leaning) - middle(upright) == pytest.approx(5, abs=1.5)


def test_transverse_processes_are_drawn_where_there_are_some():
    assert lateral(transverse=9.0).bone.sum() > 1.05 * lateral().bone.sum()
    assert frontal(transverse=15.0).bone.sum() > 1.05 * frontal().bone.sum()


@pytest.mark.parametrize("transverse", [0.0, 12.0])
def test_a_vertebra_is_symmetrical_from_the_front(transverse):
    bone = frontal(transverse=transverse).bone
    np.testing.assert_allclose(bone, bone[:, ::-1], atol=0.1)


def test_transverse_processes_reach_as_far_as_asked():
    columns = np.flatnonzero((frontal(transverse=15.0).bone > 0.02).any(0))
    assert np.ptp(columns) * 0.2 / 2 == pytest.approx(15, abs=1.5)


def test_a_frame_turns_and_moves_a_vertebra():
    plain = lateral()
    turned = lateral(Frame((0, 0), 90.0))
    assert correlation(turned.bone, np.rot90(plain.bone, -1)) > 0.97
    moved = lateral(Frame((4.0, 2.0), 0.0))
    np.testing.assert_allclose(moved.bone[10:, 20:], plain.bone[:-10, :-20], atol=0.02)


def test_marrow_is_darker_than_the_end_plates():
    drawn = lateral()
    inside = around(drawn.bone, drawn, 0, 0.5, 3).mean()
    plate = drawn.bone[115:125, 120 - 32 : 120 - 24].max()
    assert plate > 0.9 * inside > 0
