import numpy as np
import pytest
from drawn_regions import SPACING_MM, canvas, path, volume_cm3

from radenhance.phantoms.anatomy.canvas import MATERIALS, Pose, blank_canvas
from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.shapes import Ellipsoid
from radenhance.phantoms.anatomy.spindle import Spindle
from radenhance.phantoms.anatomy.texture import power_law_tile
from radenhance.phantoms.spectra import KVPS, spectrum

SPHERE = Ellipsoid((0, 0), (10, 10), 10)


def test_pose_places_scales_and_mirrors():
    pose = Pose(center=(10, 0), scale=2.0)
    found = path(Ellipsoid((14, 0), (2, 2), 2), pose=pose)
    assert found.max() == pytest.approx(2 * 2 * 2 / 10, rel=0.02)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert column == pytest.approx(99.5 + 2 * 4 / SPACING_MM, abs=2)
    assert row == pytest.approx(99.5, abs=2)
    mirrored = path(Ellipsoid((14, 0), (2, 2), 2), pose=Pose((10, 0), 0.0, 2.0, mirrored=True))
    np.testing.assert_allclose(mirrored, found[:, ::-1], atol=1e-4)


@pytest.mark.parametrize("center", [(500.0, 0.0), (0.0, -500.0), (-40.0, 30.0)])
def test_a_solid_off_the_detector_leaves_no_trace(center):
    assert not path(Ellipsoid(center, (6, 6), 6)).any()
    trunk = Spindle(
        (center[0] - 3, center[1]), (center[0] + 3, center[1]), [(0, 2, 2, 2), (1, 2, 2, 2)]
    )
    assert not path(trunk).any()


def test_bone_takes_the_place_of_soft_tissue():
    target = canvas()
    target.put(Ellipsoid((0, 0), (20, 20), 20), "soft")
    before = target.water[100, 100]
    target.put(SPHERE, "bone", instead_of="soft")
    assert target.bone[100, 100] == pytest.approx(2.0, rel=0.01)
    soft = MATERIALS["soft"].water
    assert before - target.water[100, 100] == pytest.approx(2.0 * soft, rel=0.01)


def test_solids_inside_stay_as_they_are():
    target = canvas()
    inner = Ellipsoid((0, 0), (4, 4), 4)
    target.put(SPHERE, "water", minus=(inner,))
    assert target.water[100, 100] == pytest.approx(2.0 - 0.8, rel=0.01)


@pytest.mark.parametrize("angle", [-15.0, 30.0, 90.0])
def test_a_pose_turns_clockwise_and_keeps_the_volume(angle):
    shape = Ellipsoid((12, 0), (8, 3), 3)
    turned = path(shape, pose=Pose(angle_deg=angle), rows=260, columns=260)
    row, column = np.unravel_index(turned.argmax(), turned.shape)
    assert row == pytest.approx(129.5 + 48 * np.sin(np.deg2rad(angle)), abs=3)
    assert column == pytest.approx(129.5 + 48 * np.cos(np.deg2rad(angle)), abs=3)
    straight = path(shape, rows=260, columns=260)
    assert turned.sum() == pytest.approx(straight.sum(), rel=0.01)


def test_a_larger_animal_is_larger_in_all_three_directions():
    volumes = [volume_cm3(SPHERE, pose=Pose(scale=scale)) for scale in (1.0, 2.0)]
    assert volumes[1] / volumes[0] == pytest.approx(8, rel=0.01)


def test_a_share_is_a_part_of_the_exchange():
    whole, half = canvas(), canvas()
    whole.put(SPHERE, "bone")
    half.put(SPHERE, "bone", share=0.5)
    np.testing.assert_allclose(half.bone, whole.bone / 2, atol=1e-6)


def test_what_is_exchanged_back_leaves_nothing():
    target = canvas()
    target.put(SPHERE, "fat")
    target.put(SPHERE, "soft", instead_of="fat")
    target.put(SPHERE, "air", instead_of="soft")
    assert np.abs(target.water).max() < 1e-5
    assert np.abs(target.bone).max() < 1e-5


@pytest.mark.parametrize("material", ["fat", "soft", "lung", "keratin", "bone", "steel", "lead"])
@pytest.mark.parametrize("kvp", KVPS)
def test_every_material_attenuates(material, kvp):
    water, bone = MATERIALS[material]
    assert spectrum(kvp).attenuation(water * 0.05, bone * 0.05) > 0


def test_materials_are_in_the_order_of_their_attenuation():
    order = ("air", "lung", "fat", "soft", "keratin", "bone", "steel", "lead")
    found = [spectrum(65).attenuation(*(0.05 * x for x in MATERIALS[name])) for name in order]
    assert found == sorted(found)


def test_many_small_solids_add_up():
    shapes = [Ellipsoid((x, 0), (3, 3), 3) for x in (-8.0, -6.0, 20.0, 300.0)]
    target = canvas()
    window = (slice(0, 200), slice(0, 200))
    found = target.chords(shapes, window)
    np.testing.assert_allclose(found, sum(path(shape) for shape in shapes), atol=0.02)


def test_texture_keeps_the_mean_and_never_takes_the_whole_path():
    tile = power_law_tile(generator(1), spacing_mm=0.25)
    blank = blank_canvas(205, 205, spacing_mm=0.25, grain=tile)
    found = blank.texture((slice(0, 205), slice(0, 205)), 0.25)
    assert found.mean() == pytest.approx(1, abs=0.01)
    assert found.std() == pytest.approx(0.25 * tile.std(), rel=0.05)
    assert blank.texture((slice(0, 205), slice(0, 205)), 5.0).min() == pytest.approx(0.1)


def test_another_pose_writes_into_the_same_maps():
    target = canvas()
    target.posed(Pose((5.0, 0.0))).put(SPHERE, "water")
    assert target.water.any()
    assert target.pose == Pose()
