import numpy as np
import pytest
from drawn_regions import CAT, around, region

from radenhance.phantoms.anatomy.bones import Frame


@pytest.fixture(scope="module")
def frontal():
    return region("hindlimb, frontal", spacing_mm=0.6)


@pytest.fixture(scope="module")
def lateral():
    return region("hindlimb, lateral", spacing_mm=0.6)


def thigh():
    bend = float(CAT.rng("hindlimb").uniform(25, 60))
    return Frame((0, 0), 0.6 * bend - 90), Frame((0, 0), 90 - 0.4 * bend)


def test_the_patella_lies_before_the_stifle(lateral):
    upper, _ = thigh()
    patella = around(lateral.bone, lateral, *upper.at(8.5, -9.5), 2).mean()
    behind = around(lateral.bone, lateral, *upper.at(8.5, 12), 1).mean()
    assert patella > behind + 0.05


def test_fabellae_are_two_small_bones_from_the_front(frontal):
    for side in (-1, 1):
        assert around(frontal.bone, frontal, side * 4.6, -8.5, 1).max() > 0.1


def test_the_fibula_is_thin_and_beside_the_shin_bone(frontal):
    row = frontal.bone[round(frontal.affine[1] @ (0, 60, 1))] > 0.05
    edges = np.flatnonzero(np.diff(row.astype(int)))
    widths = np.diff(edges)[::2]
    assert len(widths) == 2
    assert widths.min() < 0.5 * widths.max()


def test_the_heel_bone_stands_off_behind_the_hock(lateral):
    _, lower = thigh()
    bend = float(CAT.rng("hindlimb").uniform(25, 60))
    paw = Frame(lower.at(106, 0), lower.angle_deg + 0.7 * bend)
    assert around(lateral.bone, lateral, *paw.at(-9, -6.6), 2).max() > 0.1


def test_shafts_have_a_bright_cortex_and_a_dark_marrow(frontal):
    row = frontal.bone[round(frontal.affine[1] @ (0, 40, 1))]
    middle = round(frontal.affine[0] @ (0, 0, 1))
    shaft = row[middle - 8 : middle + 9]
    assert shaft.max() > 1.3 * row[middle]


def test_the_thigh_is_the_thickest_part(frontal):
    thick = frontal.water.max(1)
    assert (
        thick[round(frontal.affine[1] @ (0, -80, 1))]
        > 2 * thick[round(frontal.affine[1] @ (0, 80, 1))]
    )
