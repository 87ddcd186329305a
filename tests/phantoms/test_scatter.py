import cv2
import numpy as np
import pytest

from radenhance.phantoms.scatter import KERNELS, scatter, water_equivalent
from radenhance.phantoms.spectra import spectrum

KVP = 70
SPACING_MM = 1.2
# Water in cm: scatter over primary in the middle of a round field of radius 5, 10 and 15 cm, by
# Monte Carlo; the kernels were fitted to it.
MONTE_CARLO = {
    3: (0.28, 0.36, 0.38),
    5: (0.44, 0.61, 0.66),
    8: (0.65, 0.99, 1.11),
    10: (0.77, 1.25, 1.43),
    15: (1.05, 1.92, 2.35),
    20: (1.33, 2.63, 3.41),
}


def slab_scatter_ratio(thickness_cm, radius_cm):
    num = 2 * int(16 / (SPACING_MM / 10)) + 1
    axis = (np.arange(num) - num // 2) * SPACING_MM / 10
    field = np.hypot(axis, axis[:, None]) <= radius_cm
    passed = np.exp(-spectrum(KVP).attenuation(thickness_cm, 0))
    transmitted = np.full((num, num), passed, np.float32)
    scattered = scatter(
        (transmitted * field).astype(np.float32), transmitted, kvp=KVP, spacing_mm=SPACING_MM
    )
    return scattered[num // 2, num // 2] / passed


@pytest.mark.parametrize("thickness_cm", MONTE_CARLO)
@pytest.mark.parametrize("i", range(3))
def test_water_slab_scatters_as_in_monte_carlo(thickness_cm, i):
    ratio = slab_scatter_ratio(thickness_cm, (5, 10, 15)[i])
    assert ratio == pytest.approx(MONTE_CARLO[thickness_cm][i], rel=0.08)


def test_between_tabulated_thicknesses_the_ratio_is_between():
    assert slab_scatter_ratio(5, 10) < slab_scatter_ratio(6.5, 10) < slab_scatter_ratio(8, 10)


def test_air_does_not_scatter():
    ones = np.ones((60, 80), np.float32)
    assert not scatter(ones, ones, kvp=KVP, spacing_mm=SPACING_MM).any()


def test_scatter_hardly_depends_on_the_pixel_size():
    rng = np.random.default_rng(0)
    coarse = np.repeat(np.repeat(rng.uniform(0.02, 1, (12, 12)), 10, 0), 10, 1).astype(np.float32)
    fine = np.repeat(np.repeat(coarse, 4, 0), 4, 1)
    a = scatter(coarse, coarse, kvp=KVP, spacing_mm=2.4)
    b = scatter(fine, fine, kvp=KVP, spacing_mm=0.6)[2::4, 2::4]
    np.testing.assert_allclose(a, b, rtol=0.03)


@pytest.mark.parametrize("thickness_cm", KERNELS)
def test_water_equivalent_inverts_transmission(thickness_cm):
    passed = np.exp(-spectrum(KVP).attenuation(thickness_cm, 0))
    found = water_equivalent(np.array([passed], np.float32), KVP)
    assert found[0] == pytest.approx(thickness_cm, abs=0.02)


def test_scatter_grows_with_the_primary_radiation():
    rng = np.random.default_rng(0)
    passed = cv2.GaussianBlur(rng.uniform(0.05, 0.5, (80, 90)).astype(np.float32), (0, 0), 8)
    once, twice = (scatter(k * passed, passed, kvp=KVP, spacing_mm=SPACING_MM) for k in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_scatter_reaches_behind_what_the_collimator_covers_and_fades_there():
    passed = np.full((160, 160), 0.1, np.float32)
    primary = passed.copy()
    primary[:, 80:] = 0
    found = scatter(primary, passed, kvp=KVP, spacing_mm=SPACING_MM)[80]
    assert found[40] > found[90] > found[150] > 0


def test_scatter_is_smooth():
    passed = np.full((160, 160), 0.1, np.float32)
    passed[60:100, 60:100] = 0.01
    found = scatter(passed, passed, kvp=KVP, spacing_mm=SPACING_MM)
    assert np.abs(np.diff(found, axis=1)).max() < 0.05 * found.max()


def test_scatter_of_a_symmetrical_object_is_symmetrical():
    y, x = np.mgrid[-60:60, -60:60] + 0.5
    passed = np.exp(-np.maximum(2 - np.hypot(x, y) / 30, 0)).astype(np.float32)
    found = scatter(passed, passed, kvp=KVP, spacing_mm=SPACING_MM)
    np.testing.assert_allclose(found, found[::-1, ::-1], rtol=1e-3)
    np.testing.assert_allclose(found, found.T, rtol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (37, 41)])
def test_an_image_of_any_size_keeps_its_size(size):
    passed = np.full(size, 0.2, np.float32)
    found = scatter(passed, passed, kvp=KVP, spacing_mm=SPACING_MM)
    assert found.shape == size
    assert np.isfinite(found).all()


def test_water_equivalent_of_air_is_nothing_and_of_lead_the_largest_length():
    found = water_equivalent(np.array([1.0, 0.0], np.float32), KVP)
    assert found.tolist() == [0.0, 40.0]
