from pathlib import Path

import numpy as np
import pytest
from radiograph_scenes import collimator, limb

from radenhance.dataset.normalize import (
    exposed_field,
    exposure_shift,
    intensity_range,
    normalize,
    to_stored,
    to_unit,
)
from radenhance.dicom.radiograph import Radiograph


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("bits", range(1, 17))
def test_inverse_restores_every_stored_value_exactly(bits, relationship):
    stored = np.arange(1 << bits, dtype=np.uint16).reshape(1, -1)
    unit = to_unit(stored, bits=bits, relationship=relationship)
    assert unit.dtype == np.float32
    assert np.array_equal(to_stored(unit, bits=bits, relationship=relationship), stored)


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("bits", range(8, 17))
def test_more_attenuation_is_brighter_from_zero_to_one(bits, relationship):
    unit = to_unit(np.arange(1 << bits, dtype=np.uint16), bits=bits, relationship=relationship)
    assert unit[0] == 0
    assert unit[-1] == 1
    assert (np.diff(unit) > 0).all()


def test_equal_thickness_steps_are_equal_steps_of_a_linear_detector():
    intensity = 16000 * np.exp(-np.arange(5))  # one mean free path more each time
    unit = to_unit((16383 - intensity).astype(np.uint16), bits=14, relationship="LIN")
    assert np.diff(unit) == pytest.approx(1 / np.log(16384), abs=1e-3)


def test_exposure_factor_is_a_shift_of_the_logarithm():
    intensity = np.array([800, 1600, 8000])
    single, double = (
        to_unit((16383 - i).astype(np.uint16), bits=14, relationship="LIN")
        for i in (intensity, 2 * intensity)
    )
    assert double - single == pytest.approx(exposure_shift(2.0, bits=14), abs=1e-3)


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("bits", range(8, 17))
def test_any_unit_value_comes_back_within_a_step(bits, relationship):
    unit = np.random.default_rng(bits).uniform(0, 1, 5000)
    stored = to_stored(unit, bits=bits, relationship=relationship)
    assert stored.dtype == np.uint16
    ends = [
        to_unit(
            np.clip(stored + step, 0, (1 << bits) - 1).astype(np.uint16),
            bits=bits,
            relationship=relationship,
        )
        for step in (-1.0, 1.0)
    ]
    assert (ends[0] <= unit + 1e-6).all()
    assert (unit <= ends[1] + 1e-6).all()


@pytest.mark.parametrize("shape", [(3,), (4, 5), (2, 3, 4)])
def test_shapes_are_kept(shape):
    stored = np.random.default_rng(0).integers(0, 4096, shape).astype(np.uint16)
    assert to_unit(stored, bits=12).shape == shape
    assert np.array_equal(to_stored(to_unit(stored, bits=12), bits=12), stored)


def test_values_outside_the_unit_interval_are_clipped():
    assert to_stored(np.array([-0.5, 1.5]), bits=10).tolist() == [0, 1023]


def range_of(image):
    return intensity_range(image, exposed_field(image, normalize(image)))


def radiograph(pixels, *, relationship="LIN", valid=None):
    return Radiograph(pixels, 14, relationship, Path("x.npy"), valid=valid)


def test_intensity_range_takes_out_the_exposure():
    intensity = np.random.default_rng(0).uniform(100, 8000, (64, 64))

    def stretched(factor):
        image = radiograph((16383 - factor * intensity).round().astype(np.uint16))
        low, high = range_of(image)
        return (normalize(image) - low) / (high - low)

    assert stretched(1.0) == pytest.approx(stretched(2.0), abs=5e-3)


def test_intensity_range_is_of_valid_pixels_and_not_of_outliers():
    pixels = np.tile(np.arange(2000, 12000, dtype=np.uint16), (10, 1))
    pixels[0, :3] = 16383
    valid = np.ones(pixels.shape, dtype=bool)
    valid[:, 5000:] = False
    low, high = range_of(radiograph(pixels, relationship="LOG", valid=valid))
    assert low == pytest.approx(2005 / 16383, abs=1e-4)
    assert high == pytest.approx(6995 / 16383, abs=1e-4)


@pytest.mark.parametrize("value", [0, 700, 16383])
def test_intensity_range_of_a_constant_image_is_the_full_scale(value):
    assert range_of(radiograph(np.full((8, 8), value, np.uint16))) == (0.0, 1.0)


def test_intensity_range_leaves_out_what_is_behind_the_collimator():
    attenuation = limb(256, blocked=collimator(256))
    pixels = np.rint(attenuation * 16383).astype(np.uint16)
    _, high = range_of(radiograph(pixels, relationship="LOG"))
    assert high < np.percentile(attenuation, 99)
    behind = np.rint(limb(256) * 16383).astype(np.uint16)
    assert high <= range_of(radiograph(behind, relationship="LOG"))[1] + 0.02


def test_an_image_without_a_valid_pixel_has_the_range_of_all_its_pixels():
    pixels = np.tile(np.arange(1000, 2000, dtype=np.uint16), (10, 1))
    nothing = radiograph(pixels, relationship="LOG", valid=np.zeros(pixels.shape, bool))
    assert range_of(nothing) == range_of(radiograph(pixels, relationship="LOG"))
