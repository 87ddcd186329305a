import numpy as np
import pytest

from radenhance.phantoms.anatomy.bones import Hollow, ball, put_bone, put_hollow, rod, shaft
from radenhance.phantoms.anatomy.canvas import MATERIALS, Pose, blank_canvas
from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.curves import closed_curve, corners, curve
from radenhance.phantoms.anatomy.implants import put_implant
from radenhance.phantoms.anatomy.outline import Outline
from radenhance.phantoms.anatomy.setting import collimator, put_marker
from radenhance.phantoms.anatomy.shapes import Ellipsoid, Union
from radenhance.phantoms.anatomy.spindle import Spindle
from radenhance.phantoms.anatomy.texture import TILE_MM, crop_of_tile, power_law_tile
from radenhance.phantoms.anatomy.torso import Projection, vertebrae
from radenhance.phantoms.anatomy.tube import Tube

SPACING_MM = 0.25
NO_GRAIN = np.zeros((8, 8), np.float32)
SPHERE = Ellipsoid((0, 0), (10, 10), 10)


def canvas(rows=200, columns=200, spacing_mm=SPACING_MM, pose=None):
    blank = blank_canvas(rows, columns, spacing_mm=spacing_mm, grain=NO_GRAIN)
    return blank.posed(pose or Pose())


def path(shape, **options):
    """Path length in cm of a shape of water, over the whole detector."""
    target = canvas(**options)
    target.put(shape, "water")
    return target.water


def volume_cm3(shape, spacing_mm=SPACING_MM, **options):
    return (
        path(shape, spacing_mm=spacing_mm, **options).sum(dtype=np.float64) * (spacing_mm / 10) ** 2
    )


def test_chord_through_the_middle_of_a_sphere_is_its_diameter():
    assert path(SPHERE).max() == pytest.approx(2.0, rel=0.002)


@pytest.mark.parametrize("spacing_mm", [0.1, 0.25, 0.7])
def test_chords_of_an_ellipsoid_add_up_to_its_volume(spacing_mm):
    shape = Ellipsoid((1.3, -2.1), (9, 5), 7, angle_deg=30)
    size = int(26 / spacing_mm)
    found = volume_cm3(shape, spacing_mm, rows=size, columns=size)
    assert found == pytest.approx(4 / 3 * np.pi * 0.9 * 0.5 * 0.7, rel=0.01)


def test_chords_of_a_tube_add_up_to_its_volume():
    found = volume_cm3(rod([(-12, 3), (12, -2)], 3.0))
    length = np.hypot(24, 5) / 10
    assert found == pytest.approx(np.pi * 0.09 * length + 4 / 3 * np.pi * 0.027, rel=0.02)


def test_chords_of_a_capless_spindle_add_up_to_its_volume():
    shape = Spindle((-10, 0), (10, 0), [(0, 4, 4, 6), (1, 4, 4, 6)])
    assert volume_cm3(shape) == pytest.approx(np.pi * 0.4 * 0.6 * 2.0, rel=0.03)


def test_a_tube_that_runs_into_the_depth_has_a_longer_chord():
    flat = Tube(np.array([(-5.0, 0, 0), (5.0, 0, 0)]), np.array([2.0, 2.0]))
    deep = Tube(np.array([(-5.0, 0, 0), (5.0, 0, 10)]), np.array([2.0, 2.0]))
    ratio = path(deep)[100, 100] / path(flat)[100, 100]
    assert ratio == pytest.approx(np.sqrt(2), rel=0.01)


def test_a_plate_has_its_thickness_inside_and_none_in_its_hole():
    square, hole = corners("-15,-15 15,-15 15,15 -15,15"), corners("-3,-3 3,-3 3,3 -3,3")
    plate = Outline(np.array(square), 2.0, 1.0, holes=(np.array(hole),))
    found = path(plate)
    assert found[100, 100] == 0
    assert found[100, 135] == pytest.approx(0.2, rel=0.01)
    assert found[100, 170] == 0


def test_overlapping_parts_of_a_union_count_once():
    twice = Union((SPHERE, SPHERE))
    np.testing.assert_array_equal(path(twice), path(SPHERE))


def test_a_thin_part_of_a_union_keeps_its_silhouette_beside_a_thick_one():
    thin = Ellipsoid((12, 0), (8, 3), 1)
    both, alone = path(Union((SPHERE, thin))), path(thin)
    beyond = np.s_[:, 145:]
    np.testing.assert_allclose(both[beyond], alone[beyond], atol=0.01)


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


def test_cortex_is_brighter_than_marrow():
    target = canvas()
    put_bone(target, shaft((-15, 0), (15, 0), [4, 4, 4]), cortex_mm=1.0, marrow=0.0)
    column = target.bone[:, 100]
    edge = 100 - int(3.5 / SPACING_MM)
    assert column[edge] > 1.5 * column[100]


def test_no_wall_stands_between_the_parts_of_a_bone():
    parts = [shaft((-15, 0), (2, 0), [3, 3, 3]), ball((4, 0), 5)]
    joined, apart = canvas(), canvas()
    put_hollow(joined, [Hollow(part, 0.8, 0.0) for part in parts])
    for part in parts:
        put_bone(apart, part, cortex_mm=0.8, marrow=0.0)
    assert joined.bone.sum() < apart.bone.sum()
    assert joined.bone[100, 100:112].max() < apart.bone[100, 100:112].max()


def test_texture_has_unit_variance_and_the_asked_spectrum():
    tile = power_law_tile(generator(1), spacing_mm=0.1, beta=2.6)
    assert tile.mean() == pytest.approx(0, abs=1e-3)
    assert tile.std() == pytest.approx(1, rel=1e-3)
    power = np.abs(np.fft.fft(tile, axis=1)) ** 2
    frequency = np.fft.fftfreq(tile.shape[1], 0.1)
    band = (frequency > 0.5) & (frequency < 3)
    slope = np.polyfit(np.log(frequency[band]), np.log(power.mean(0)[band]), 1)[0]
    # a cut through an isotropic 2-D spectrum f^-beta falls as f^(1 - beta)
    assert slope == pytest.approx(1 - 2.6, abs=0.25)


def test_texture_is_the_same_at_every_pixel_size():
    fine, coarse = (power_law_tile(generator(1), spacing_mm=s) for s in (0.1, 0.4))
    blocks = fine.reshape(128, 4, 128, 4).mean((1, 3))
    np.testing.assert_allclose(coarse, blocks, atol=1e-3)
    assert fine.shape[0] == round(TILE_MM / 0.1)


def test_tile_repeats_without_end():
    tile = np.arange(16, dtype=np.float32).reshape(4, 4)
    crop = crop_of_tile(tile, 6, 3, row=2, column=3)
    np.testing.assert_array_equal(crop, np.tile(tile, (3, 3))[2:8, 3:6])


def test_curves_pass_through_their_points():
    points = np.array([(0.0, 0.0), (3.0, 1.0), (4.0, 5.0), (9.0, 2.0)])
    np.testing.assert_allclose(curve(points, 7)[::2], points, atol=1e-12)
    np.testing.assert_allclose(closed_curve(points, 8)[::2], points, atol=1e-12)


def test_a_cat_has_thirteen_thoracic_and_seven_lumbar_vertebrae_in_a_row():
    found = vertebrae()
    assert [sum(v.group == g for v in found) for g in ("T", "L", "S")] == [13, 7, 3]
    ends = [(v.a - v.length / 2, v.a + v.length / 2) for v in found]
    assert all(b[0] > a[1] for a, b in zip(ends[:-1], ends[1:], strict=True))


def test_two_views_of_an_organ_have_the_same_volume():
    views = [
        Projection(view, girth=1.2).organ((3.0, 4.0, 5.0), (6.0, 7.0, 8.0))
        for view in ("lateral", "ventrodorsal")
    ]
    lateral, frontal = (volume_cm3(shape) for shape in views)
    assert lateral == pytest.approx(frontal, rel=0.01)
    assert lateral == pytest.approx(4 / 3 * np.pi * 0.6 * 0.7 * 0.8 * 1.2, rel=0.01)


@pytest.mark.parametrize("seed", range(12))
def test_collimator_closes_one_to_four_sides(seed):
    passed, reach = collimator((120, 160), 1.0, generator(seed))
    closed = [r < half for r, half in zip(reach, (80, 60, 80, 60), strict=True)]
    assert 1 <= sum(closed) <= 4
    assert passed[60, 80] == 1
    borders = (passed[60, 0], passed[0, 80], passed[60, -1], passed[-1, 80])
    assert [b < 0.5 for b in borders] == closed


@pytest.mark.parametrize("letter", ["R", "L"])
def test_marker_lies_inside_the_field_in_the_emptiest_corner(letter):
    target = canvas(rows=160, columns=160, spacing_mm=0.5)
    target.put(Ellipsoid((-40, -40), (55, 55), 50), "soft")
    before = target.bone.copy()
    put_marker(target, letter, (60.0, 60.0, 36.0, 36.0), generator(3))
    rows, columns = np.nonzero(target.bone - before)
    assert len(rows) > 50
    assert rows.min() > 80
    assert columns.min() > 80
    assert rows.max() < 80 + 36 / 0.5
    assert columns.max() < 80 + 36 / 0.5


@pytest.mark.parametrize("seed", range(8))
def test_implants_lie_in_flesh_or_nowhere(seed):
    empty, filled = canvas(rows=400, columns=400), canvas(rows=400, columns=400)
    put_implant(empty, generator(seed))
    assert not empty.bone.any()
    filled.put(Ellipsoid((0, 0), (48, 48), 40), "soft")
    before = filled.water.copy()
    put_implant(filled, generator(seed))
    assert filled.bone.max() > 0.01
    implant = filled.bone > 0.01  # a catheter may leave the body
    assert (before[implant] > 1).mean() > 0.6


def test_random_numbers_depend_on_the_name_only():
    again = generator(7, "cat", "ribs").random(3)
    np.testing.assert_array_equal(generator(7, "cat", "ribs").random(3), again)
    assert not np.array_equal(generator(7, "cat", "spine").random(3), again)
    assert not np.array_equal(generator(8, "cat", "ribs").random(3), again)
