from dataclasses import replace

import cv2
import numpy as np
import pytest

from radenhance.phantoms.physics import (
    LOG_DECADES,
    Exposure,
    digitise,
    expose,
    transmission,
)
from radenhance.phantoms.spectra import BONE, KVPS, WATER, spectrum

# Without what would disturb the statistics of quanta: blur, electronics, gain; 16 bits.
IDEAL = Exposure(
    65, 1.0, 0.3, blur_mm=0.01, electronic_quanta=0.0, gain_residual=0.0, bits=16, direct_level=0.5
)


def slab(water_cm, bone_cm=0.0, shape=(96, 128)):
    return np.full(shape, water_cm, np.float32), np.full(shape, bone_cm, np.float32)


def expose_slab(exposure, water_cm, *, seed=0, **options):
    return expose(*slab(water_cm), exposure, rng=np.random.default_rng(seed), **options)


def attenuation_of(values, exposure):
    """Decimal logarithm of full scale over intensity, from what DICOM says of the values."""
    values = np.asarray(values, np.float64)
    if exposure.sign == -1:
        values = exposure.max_value - values
    if exposure.relationship == "LIN":
        return -np.log10(values / exposure.max_value)
    return LOG_DECADES * (1 - values / exposure.max_value)


@pytest.mark.parametrize("kvp", KVPS)
@pytest.mark.parametrize(("water_cm", "bone_cm"), [(0.0, 0.0), (0.5, 0.0), (5.0, 1.0), (20.0, 2.0)])
def test_transmission_is_that_of_the_spectrum(kvp, water_cm, bone_cm):
    expected = np.exp(-spectrum(kvp).attenuation(water_cm, bone_cm))
    found = transmission(*slab(water_cm, bone_cm, shape=(70, 3)), kvp)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize("kvp", KVPS)
def test_thin_slab_follows_beer_and_lambert_with_the_mean_coefficient(kvp):
    weights, thin = spectrum(kvp).weights, 1e-2
    water = 1 - transmission(*slab(thin), kvp)[0, 0]
    bone = 1 - transmission(*slab(0.0, thin), kvp)[0, 0]
    assert water == pytest.approx(thin * (weights @ WATER), rel=0.01)
    assert bone == pytest.approx(thin * (weights @ BONE), rel=0.03)


def test_noise_variance_is_the_number_of_quanta():
    for water_cm in (2.0, 8.0):
        stored, _ = expose_slab(IDEAL, water_cm)
        per_value = IDEAL.direct_quanta / (IDEAL.direct_level * IDEAL.max_value)
        middle = stored[30:-30, 30:-30].astype(np.float64) * per_value
        trend = cv2.GaussianBlur(middle, (0, 0), 8)
        assert (middle - trend).var() == pytest.approx(middle.mean(), rel=0.1)


def test_four_times_the_load_halves_relative_noise():
    def relative_noise(exposure):
        stored, _ = expose_slab(exposure, 5.0)
        middle = stored[30:-30, 30:-30].astype(np.float64)
        return np.diff(middle).std() / middle.mean()

    ratio = relative_noise(IDEAL) / relative_noise(replace(IDEAL, mas=4.0))
    assert ratio == pytest.approx(2.0, rel=0.1)


def test_electronic_noise_is_added_in_quanta():
    noisy = replace(IDEAL, electronic_quanta=200.0)
    per_value = IDEAL.direct_quanta / (IDEAL.direct_level * IDEAL.max_value)
    variances = [
        expose_slab(e, 12.0)[0][30:-30, 30:-30].astype(np.float64).var() * per_value**2
        for e in (IDEAL, noisy)
    ]
    assert variances[1] - variances[0] == pytest.approx(200.0**2, rel=0.1)


def test_clean_has_three_tenths_of_the_noise_and_four_tenths_of_the_scatter():
    stored, clean = (np.asarray(x, np.float64) for x in expose_slab(IDEAL, 5.0))
    middle = np.s_[44:52, 56:72]
    primary = np.exp(-spectrum(65).attenuation(5.0, 0)) * IDEAL.direct_level * IDEAL.max_value
    scattered = stored[middle].mean() - primary
    assert scattered > 0.1 * primary
    assert clean[middle].mean() - primary == pytest.approx(0.4 * scattered, rel=0.05)
    noise = [np.diff(x[middle], axis=1).std() for x in (stored, clean)]
    assert noise[1] / noise[0] == pytest.approx(0.3, rel=0.05)


def test_blur_smooths_quantum_noise():
    noise = [
        np.diff(expose_slab(replace(IDEAL, blur_mm=blur), 5.0)[0].astype(float), axis=1).std()
        for blur in (0.01, 0.3)
    ]
    assert noise[1] < 0.5 * noise[0]


def test_grid_holds_back_scatter_more_than_primary():
    signal = [
        expose_slab(replace(IDEAL, grid=grid), 15.0)[1][48, 64] * IDEAL.direct_quanta
        for grid in (False, True)
    ]
    primary = np.exp(-spectrum(65).attenuation(15.0, 0)) * IDEAL.direct_level * IDEAL.max_value
    shares = [s / IDEAL.direct_quanta / primary - 1 for s in signal]
    assert shares[1] < 0.3 * shares[0]
    assert replace(IDEAL, grid=True).direct_quanta == pytest.approx(0.7 * IDEAL.direct_quanta)


def test_only_scatter_and_leakage_reach_what_the_collimator_covers():
    aperture = np.ones((96, 128), np.float32)
    aperture[:, 64:] = 0
    stored, _ = expose_slab(IDEAL, 5.0, aperture=aperture)
    assert 0 < stored[:, 100:].mean() < 0.3 * stored[:, :50].mean()


def test_heel_falls_along_the_columns():
    stored, _ = expose_slab(replace(IDEAL, heel=0.1), 0.0)
    ratio = stored[:, :8].mean() / stored[:, -8:].mean()
    assert ratio == pytest.approx(1.1 / 0.9, rel=0.02)


def test_direct_exposure_above_full_scale_saturates():
    stored, _ = expose_slab(replace(IDEAL, direct_level=1.2, bits=14), 0.0)
    assert (stored == 16383).mean() > 0.99


def test_lin_and_log_of_either_sign_tell_the_same_attenuation():
    signal = np.geomspace(0.01, 1.0, 200, dtype=np.float32)
    expected = -np.log10(signal * IDEAL.direct_level)
    for relationship in ("LIN", "LOG"):
        for sign in (1, -1):
            exposure = replace(IDEAL, relationship=relationship, sign=sign, bits=14)
            found = attenuation_of(np.rint(digitise(signal, exposure)), exposure)
            step = LOG_DECADES / 16383 if relationship == "LOG" else 0.5 / (16383 * 0.005 * 2.3)
            np.testing.assert_allclose(found, expected, atol=step)


def test_negative_sign_counts_down_from_full_scale():
    signal = np.linspace(0, 1, 50, dtype=np.float32)
    for relationship in ("LIN", "LOG"):
        plus = digitise(signal, replace(IDEAL, relationship=relationship))
        minus = digitise(signal, replace(IDEAL, relationship=relationship, sign=-1))
        np.testing.assert_allclose(plus + minus, IDEAL.max_value, rtol=1e-5)


def test_more_attenuation_is_a_lower_value_at_sign_plus_one():
    for relationship in ("LIN", "LOG"):
        exposure = replace(IDEAL, relationship=relationship)
        air, flesh = (expose_slab(exposure, cm)[0][48, 64] for cm in (0.0, 6.0))
        assert flesh < air


def test_opencv_threads_do_not_change_a_pixel():
    exposure = Exposure(70, 2.0, 0.3)
    before = cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            found.append(expose_slab(exposure, 6.0)[0])
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def relative_noise(exposure, water_cm=5.0):
    """Standard deviation over mean, without what differs slowly."""
    stored = expose_slab(exposure, water_cm)[0].astype(float)
    return np.diff(stored, axis=1).std() / np.sqrt(2) / stored.mean()


def test_noise_falls_with_the_root_of_the_dose():
    noise = [relative_noise(replace(IDEAL, mas=mas)) for mas in (0.5, 2.0, 8.0)]
    assert noise[0] / noise[1] == pytest.approx(2, rel=0.06)
    assert noise[1] / noise[2] == pytest.approx(2, rel=0.06)


def test_noise_falls_with_the_side_of_a_pixel():
    small, large = (relative_noise(replace(IDEAL, spacing_mm=mm)) for mm in (0.15, 0.3))
    assert small / large == pytest.approx(2, rel=0.06)


def test_quanta_per_pixel_grow_with_the_load_of_the_tube_and_the_area():
    one = IDEAL.direct_quanta
    assert replace(IDEAL, mas=3.0).direct_quanta == pytest.approx(3 * one)
    assert replace(IDEAL, spacing_mm=0.6).direct_quanta == pytest.approx(4 * one)
    tenth = replace(IDEAL, spacing_mm=0.1, mas=1.0)
    assert tenth.direct_quanta == spectrum(65).quanta


def test_electronic_noise_counts_where_quanta_are_few():
    few = replace(IDEAL, mas=0.002)
    noisy = replace(few, electronic_quanta=20.0)
    quanta = few.direct_quanta
    without, with_ = (relative_noise(x, 0.0) for x in (few, noisy))
    assert with_**2 - without**2 == pytest.approx(400 / quanta**2, rel=0.25)
    many = replace(noisy, mas=10.0)
    assert relative_noise(many) == pytest.approx(relative_noise(replace(IDEAL, mas=10.0)), rel=0.03)


def test_an_uneven_gain_is_a_floor_that_no_dose_removes():
    uneven = replace(IDEAL, mas=500.0, gain_residual=0.01)
    assert relative_noise(uneven, 0.0) == pytest.approx(0.01, rel=0.1)


def test_noise_has_no_bias():
    mean = expose_slab(IDEAL, 0.0)[0].mean()
    assert mean == pytest.approx(IDEAL.direct_level * IDEAL.max_value, rel=0.001)


def test_another_generator_is_another_noise_on_the_same_image():
    first, second, again = (expose_slab(IDEAL, 5.0, seed=seed)[0] for seed in (0, 1, 0))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert first.mean() == pytest.approx(second.mean(), rel=0.01)


@pytest.mark.parametrize("kvp", [45, 70, 100])
def test_two_layers_attenuate_less_than_their_sum_as_the_first_hardens_the_beam(kvp):
    def attenuation(cm):
        return -np.log(transmission(*slab(cm), kvp)[0, 0])

    assert attenuation(8.0) < 2 * attenuation(4.0)
    assert attenuation(8.0) > 1.8 * attenuation(4.0)


def test_metal_lets_nothing_negative_through():
    water, bone = slab(-5.0, 4.0)
    passed = transmission(water, bone, 70)
    assert 0 <= passed.min() <= passed.max() < 0.1


def test_contrast_falls_with_the_voltage():
    def contrast(kvp):
        bone, none = (transmission(*slab(5.0, cm), kvp)[0, 0] for cm in (0.5, 0.0))
        return 1 - bone / none

    found = [contrast(kvp) for kvp in KVPS]
    assert found == sorted(found, reverse=True)
