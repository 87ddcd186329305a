import numpy as np
import pytest

from radenhance.phantoms.animals import Animal
from radenhance.phantoms.radiograph import phantom


@pytest.fixture(scope="module")
def dog():
    return phantom(Animal("dog", 6, 7, 3), spacing_mm=3.0)


def test_facts_of_a_phantom_are_those_of_its_animal_and_exposure(dog):
    assert (dog.species, dog.patient_id) == ("dog", "SYNTHETIC-DOG-6")
    assert (dog.body_part, dog.view) == ("ABDOMEN", "ventrodorsal")
    assert dog.breed == dog.physique.breed == dog.animal.physique.breed
    assert (dog.kvp, dog.mas, dog.spacing_mm) == (
        dog.exposure.kvp,
        dog.exposure.mas,
        dog.exposure.spacing_mm,
    )
    assert (dog.bits, dog.relationship, dog.sign) == (
        dog.exposure.bits,
        dog.exposure.relationship,
        dog.exposure.sign,
    )


def test_values_fit_into_the_bits(dog):
    assert dog.stored.max() <= 2**dog.bits - 1
    assert dog.clean.max() <= 2**dog.bits - 1
    assert dog.clean.min() >= 0


def test_the_clean_image_is_of_the_same_scene(dog):
    assert np.corrcoef(dog.stored.ravel(), dog.clean.ravel())[0, 1] > 0.97
