import numpy as np
import pytest
from drawn_regions import canvas, path, volume_cm3

from radenhance.phantoms.anatomy.shapes import Ellipsoid, Grid, Union

SPHERE = Ellipsoid((0, 0), (10, 10), 10)


def test_chord_through_the_middle_of_a_sphere_is_its_diameter():
    assert path(SPHERE).max() == pytest.approx(2.0, rel=0.002)


@pytest.mark.parametrize("spacing_mm", [0.1, 0.25, 0.7])
def test_chords_of_an_ellipsoid_add_up_to_its_volume(spacing_mm):
    shape = Ellipsoid((1.3, -2.1), (9, 5), 7, angle_deg=30)
    size = int(26 / spacing_mm)
    found = volume_cm3(shape, spacing_mm, rows=size, columns=size)
    assert found == pytest.approx(4 / 3 * np.pi * 0.9 * 0.5 * 0.7, rel=0.01)


def test_overlapping_parts_of_a_union_count_once():
    twice = Union((SPHERE, SPHERE))
    np.testing.assert_array_equal(path(twice), path(SPHERE))


def test_a_thin_part_of_a_union_keeps_its_silhouette_beside_a_thick_one():
    thin = Ellipsoid((12, 0), (8, 3), 1)
    both, alone = path(Union((SPHERE, thin))), path(thin)
    beyond = np.s_[:, 145:]
    np.testing.assert_allclose(both[beyond], alone[beyond], atol=0.01)


def test_a_ray_that_misses_has_a_negative_squared_chord_and_no_path():
    grid = Grid(np.array([[1.0, 0, 20], [0, 1.0, 20]]), 41, 41)
    field = SPHERE.squared_chord(grid)
    assert field[20, 20] == pytest.approx(400)
    assert field[20, 30] == pytest.approx(0, abs=1e-3)
    assert field[0, 0] < 0


@pytest.mark.parametrize("angle", [0, 30, 90, 200])
def test_bounds_hold_the_whole_ellipse(angle):
    shape = Ellipsoid((3, -4), (12, 5), 6, angle_deg=angle)
    drawn = canvas(rows=240, columns=240)
    whole = drawn.chord(shape, (slice(0, 240), slice(0, 240)))
    outside = whole.copy()
    outside[drawn.window(shape)] = 0
    assert not outside.any()
    assert whole.max() == pytest.approx(1.2, rel=0.01)


def test_a_layer_taken_off_shortens_every_axis():
    outer, inner = (volume_cm3(shape) for shape in (SPHERE, SPHERE.shrunk(2)))
    assert inner / outer == pytest.approx(0.8**3, rel=0.01)
    assert not path(SPHERE.shrunk(10)).any()


def test_a_union_is_bounded_by_its_parts_and_shrinks_with_them():
    parts = (SPHERE, Ellipsoid((14, 3), (6, 4), 4))
    union = Union(parts)
    assert union.bounds == (-10, -10, 20, 10)
    assert union.shrunk(1).parts == tuple(part.shrunk(1) for part in parts)
    assert union.step_mm == min(part.step_mm for part in parts)
