from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import CAT, DOG, around, region


def nose(drawn):
    """Body x of the first column that has flesh."""
    column = np.flatnonzero((drawn.water > 0.3).any(0)).min()
    return (column - drawn.affine[0, 2]) / drawn.affine[0, 0]


def test_a_dog_has_a_longer_muzzle_than_a_cat():
    cats = [nose(region("skull", replace(CAT, number=n), spacing_mm=1.5)) for n in range(3)]
    dogs = [
        nose(region("skull", replace(DOG, number=n), spacing_mm=1.5, field_mm=(150, 260)))
        for n in range(3)
    ]
    assert max(dogs) < min(cats) - 3


@pytest.fixture(scope="module")
def cat():
    return region("skull")


def test_teeth_and_inner_ears_are_the_densest(cat):
    ear = around(cat.bone, cat, -4, 3, 2).max()
    vault = around(cat.bone, cat, -8, -8, 3).mean()
    assert ear > 2 * vault
    assert cat.bone.max() > 1


def test_the_airway_is_darker_than_the_throat_around_it(cat):
    airway = around(cat.water, cat, 40, 32, 0).mean()
    above, below = (around(cat.water, cat, 40, y, 0).mean() for y in (26, 38))
    assert airway < (above + below) / 2 - 0.2


def test_the_vault_is_a_shell_around_the_brain(cat):
    top = cat.bone[:, round(cat.affine[0] @ (-5, 0, 1))]
    shell = top[: round(cat.affine[1] @ (0, -15, 1))].max()
    inside = around(cat.bone, cat, -3, -9, 2).mean()
    assert shell > inside


def test_the_neck_goes_on_to_the_border_of_the_field(cat):
    assert (cat.water[:, -1] > 1).any()
    assert not (cat.water[:, 0] > 0.01).any()


def test_five_vertebrae_of_the_neck_follow(cat):
    for i in range(5):
        assert around(cat.bone, cat, 17 + 11.6 * i, 4 + 3.6 * i, 2).mean() > 0.1


def test_ears_stand_above_the_vault(cat):
    assert around(cat.water, cat, -2, -32, 3).max() > 0.05
