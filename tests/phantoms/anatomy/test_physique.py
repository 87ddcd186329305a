from dataclasses import replace

import numpy as np
from drawn_regions import CAT, DOG


def numbers(physique, organ):
    return physique.rng(organ).random(4)


def test_an_organ_has_the_same_random_numbers_in_every_view():
    np.testing.assert_array_equal(numbers(CAT, "ribs"), numbers(replace(CAT, fat_mm=9.0), "ribs"))


def test_animals_species_and_organs_have_numbers_of_their_own():
    drawn = [
        numbers(CAT, "ribs"),
        numbers(CAT, "skull"),
        numbers(replace(CAT, number=8), "ribs"),
        numbers(DOG, "ribs"),
    ]
    assert len({tuple(x) for x in drawn}) == 4
