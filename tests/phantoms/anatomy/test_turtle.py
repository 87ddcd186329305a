from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import TURTLE, around, mass_g, region

from radenhance.phantoms.anatomy.turtle import EGG_SHARE

HEN = replace(TURTLE, sex="F")


def has_eggs(number):
    male, female = (
        region("turtle", replace(animal, number=number), spacing_mm=2.0) for animal in (TURTLE, HEN)
    )
    return mass_g(female.bone - male.bone, 2.0) > 0.5


def test_only_females_have_eggs_and_not_all_of_them():
    share = np.mean([has_eggs(number) for number in range(6)])
    assert 0.3 <= share <= 1
    assert EGG_SHARE < 1


@pytest.fixture(scope="module")
def turtle():
    return region("turtle")


def test_head_and_four_limbs_are_outside_of_the_shell(turtle):
    for x, y in ((0, -85), (-54, -84), (54, -84), (-46, 80), (46, 80)):
        assert around(turtle.water, turtle, x, y, 2).max() > 0.3


def test_lungs_are_darker_than_the_middle_behind_them(turtle):
    attenuation = turtle.water + 2 * turtle.bone
    lung = np.median(around(attenuation, turtle, 24, -15, 4))
    behind = np.median(around(attenuation, turtle, 24, 45, 3))
    assert lung < behind


def test_eyes_are_holes_in_the_skull(turtle):
    fine = region("turtle", spacing_mm=0.5, field_mm=(60, 60), center=(0.0, -85.0))
    for side in (-1, 1):
        eye = around(fine.bone, fine, side * 3.6, -93, 1).mean()
        rim = around(fine.bone, fine, side * 3.6, -93, 8).max()
        assert eye < 0.6 * rim


def test_a_girdle_lies_at_both_ends_of_the_shell(turtle):
    for y in (-38, 41):
        inside = around(turtle.bone, turtle, 18, y, 4).max()
        assert inside > np.median(turtle.bone[turtle.bone > 0.2])


def test_a_stouter_turtle_is_thicker_and_as_wide():
    slim, stout = (region("turtle", replace(TURTLE, girth=g), spacing_mm=2.0) for g in (0.9, 1.3))
    assert mass_g(stout.water, 2.0) > 1.15 * mass_g(slim.water, 2.0)
    assert ((stout.water > 0.3) ^ (slim.water > 0.3)).mean() < 0.02
