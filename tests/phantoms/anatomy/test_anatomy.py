"""What holds for every region that is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_regions import CAT, REGIONS, TURTLE, correlation, mass_g, reduced, shared_region
from drawn_regions import region as drawn_anew

from radenhance.phantoms.physics import transmission

# Grams of water, and cm3 of dense bone, of the field in a cat of 4 kg (turtle: 140 mm).
WATER_G = {
    "trunk, lateral": (1500, 2600),
    "trunk, frontal": (1500, 2600),
    "skull": (150, 450),
    "forelimb, lateral": (120, 400),
    "forelimb, frontal": (120, 400),
    "hindlimb, lateral": (200, 600),
    "hindlimb, frontal": (200, 600),
    "turtle": (250, 600),
}
BONE_CM3 = {
    "trunk, lateral": (10, 60),
    "trunk, frontal": (10, 60),
    "skull": (8, 25),
    "forelimb, lateral": (2, 8),
    "forelimb, frontal": (2, 8),
    "hindlimb, lateral": (3, 10),
    "hindlimb, frontal": (3, 10),
    "turtle": (40, 100),
}
every_region = pytest.mark.parametrize("name", REGIONS)


@every_region
def test_a_region_weighs_what_an_animal_of_its_size_does(name):
    drawn = shared_region(name, spacing_mm=1.5)
    least, most = WATER_G[name]
    assert least < mass_g(drawn.water, 1.5) < most
    least, most = BONE_CM3[name]
    assert least < mass_g(drawn.bone, 1.5) < most


@every_region
def test_a_region_is_the_same_at_another_pixel_size(name):
    fine, coarse = (shared_region(name, spacing_mm=s, texture=True) for s in (0.75, 1.5))
    shape = coarse.water.shape
    assert correlation(reduced(fine.water, shape), coarse.water) > 0.995
    assert correlation(reduced(fine.bone, shape), coarse.bone) > 0.9
    assert mass_g(coarse.water, 1.5) == pytest.approx(mass_g(fine.water, 0.75), rel=0.02)
    assert mass_g(coarse.bone, 1.5) == pytest.approx(mass_g(fine.bone, 0.75), rel=0.12)


@every_region
def test_a_region_is_the_same_every_time_and_another_animal_is_another(name):
    first, again = (drawn_anew(name, spacing_mm=2.0) for _ in range(2))
    assert np.array_equal(first.water, again.water)
    assert np.array_equal(first.bone, again.bone)
    animal = TURTLE if name == "turtle" else CAT
    other = shared_region(name, replace(animal, number=8, girth=1.1, fat_mm=4.0), spacing_mm=2.0)
    assert not np.array_equal(first.bone, other.bone) or not np.array_equal(
        first.water, other.water
    )


@every_region
def test_a_mirrored_region_is_the_mirror_image(name):
    plain, mirrored = (shared_region(name, spacing_mm=2.0, mirrored=m) for m in (False, True))
    assert correlation(mirrored.water, plain.water[:, ::-1]) > 0.9999
    assert correlation(mirrored.bone, plain.bone[:, ::-1]) > 0.995
    assert correlation(mirrored.bone, plain.bone) < 0.99


@every_region
def test_a_moved_region_is_the_same_elsewhere(name):
    _, (x, y), _ = REGIONS[name]
    plain, moved = (
        shared_region(name, spacing_mm=2.0, center=center) for center in ((x, y), (x - 10, y - 6))
    )
    np.testing.assert_allclose(moved.water[3:, 5:], plain.water[:-3, :-5], atol=0.03)
    np.testing.assert_allclose(moved.bone[3:, 5:], plain.bone[:-3, :-5], atol=0.03)


@every_region
def test_an_animal_twice_as_large_is_eight_times_as_heavy(name):
    rows, columns = REGIONS[name][2]
    small = shared_region(name, spacing_mm=2.0)
    large = shared_region(name, spacing_mm=4.0, scale=2.0, field_mm=(2 * rows, 2 * columns))
    assert mass_g(large.water, 4.0) == pytest.approx(8 * mass_g(small.water, 2.0), rel=0.02)
    assert correlation(large.bone, small.bone) > 0.99


@every_region
def test_nothing_lets_more_through_than_air(name):
    drawn = shared_region(name, spacing_mm=1.5, texture=True)
    for kvp in (45, 70, 100):
        passed = transmission(drawn.water, drawn.bone, kvp)
        assert passed.max() <= 1
        assert 0 < passed.min() < 0.6
        assert (passed > 0.999).any()  # some of the field is beside the animal


@every_region
def test_bone_lies_in_flesh(name):
    drawn = shared_region(name, spacing_mm=1.5)
    bony = drawn.bone > 0.05
    assert bony.any()
    beside = (drawn.water < 0.05) & bony
    assert beside.sum() < 0.06 * bony.sum()


@every_region
def test_a_fatter_animal_lets_more_through_and_has_the_same_bones(name):
    animal = TURTLE if name == "turtle" else CAT
    lean, fat = (
        shared_region(name, replace(animal, fat_mm=mm), spacing_mm=2.0) for mm in (1.2, 4.5)
    )
    if name == "turtle":  # which has no fat under its shell
        assert np.array_equal(lean.water, fat.water)
    else:
        assert (
            transmission(fat.water, fat.bone, 60).sum()
            > transmission(lean.water, lean.bone, 60).sum()
        )
        assert correlation(lean.bone, fat.bone) > 0.97


def test_two_views_of_one_trunk_weigh_the_same():
    lateral, frontal = (
        shared_region(f"trunk, {view}", spacing_mm=1.5) for view in ("lateral", "frontal")
    )
    assert mass_g(lateral.water, 1.5) == pytest.approx(mass_g(frontal.water, 1.5), rel=0.15)
    assert mass_g(lateral.bone, 1.5) == pytest.approx(mass_g(frontal.bone, 1.5), rel=0.15)


@pytest.mark.parametrize(
    ("name", "least"), [("trunk, frontal", 0.85), ("turtle", 0.9), ("forelimb, frontal", 0.6)]
)
def test_left_and_right_are_alike_seen_from_the_front(name, least):
    drawn = shared_region(name, spacing_mm=1.5)
    assert least < correlation(drawn.bone, drawn.bone[:, ::-1]) < 0.9999
    assert correlation(drawn.water, drawn.water[:, ::-1]) > least
