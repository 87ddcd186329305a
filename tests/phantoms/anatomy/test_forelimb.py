from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import CAT, around, region

from radenhance.phantoms.anatomy.bones import Frame


def lower_frame(physique):
    bend = float(physique.rng("forelimb").uniform(15, 55))
    return Frame((0, 0), 0.45 * bend + 90)


@pytest.fixture(scope="module")
def frontal():
    return region("forelimb, frontal", spacing_mm=0.6)


def test_a_limb_is_straight_from_the_front_and_bent_from_the_side(frontal):
    def sideways(drawn):
        return np.ptp([np.flatnonzero(row).mean() for row in drawn.bone > 0.1 if row.any()])

    lateral = region("forelimb, lateral", spacing_mm=0.6)
    assert sideways(lateral) > 2 * sideways(frontal)


def test_every_animal_bends_its_elbow_otherwise():
    angles = {lower_frame(replace(CAT, number=n)).angle_deg for n in range(5)}
    assert len(angles) == 5


def test_radius_and_ulna_lie_side_by_side_from_the_front(frontal):
    row = frontal.bone[round(frontal.affine[1] @ (0, 60, 1))]
    assert (np.diff((row > 0.1).astype(int)) == 1).sum() == 2


def test_the_olecranon_stands_behind_the_elbow_from_the_side():
    drawn = region("forelimb, lateral", spacing_mm=0.6)
    frame = lower_frame(CAT)
    behind = around(drawn.bone, drawn, *frame.at(-9, -7.2), 2).mean()
    before = around(drawn.bone, drawn, *frame.at(-9, 12), 2).mean()
    assert behind > before + 0.05


def test_the_limb_tapers_towards_the_wrist(frontal):
    def width(y):
        return (frontal.water[round(frontal.affine[1] @ (0, y, 1))] > 0.05).sum()

    assert width(-80) > 1.3 * width(0) > 1.3 * width(90)


def test_carpal_bones_fill_the_wrist(frontal):
    wrist = frontal.bone[round(frontal.affine[1] @ (0, 97.4, 1))]
    assert (wrist > 0.05).sum() * 0.6 > 7
