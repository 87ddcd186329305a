import numpy as np
import pytest
from radiograph_scenes import limb

from radenhance.reference_enhancer.baselines import BASELINES, clahe, identity, tone_curve


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_keeps_shape_type_and_range(name):
    image = limb(100)
    before = image.copy()
    result = BASELINES[name](image, valid=np.ones(image.shape, np.bool_))
    assert result.shape == image.shape
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_of_a_constant_is_constant(name):
    assert np.ptp(BASELINES[name](np.full((64, 64), 0.5, np.float32))) == 0


def test_identity_is_the_radiograph():
    image = limb(64)
    assert np.array_equal(identity(image), image)


def test_tone_curve_maps_equal_pixels_equally():
    image = limb(128)
    patient = image > 0.15
    toned = tone_curve(image, valid=patient)
    order = np.argsort(image, axis=None)
    assert np.all(np.diff(toned.ravel()[order]) >= -1e-6)
    assert np.median(toned[patient]) == pytest.approx(0.45, abs=0.05)


def test_clahe_maps_equal_pixels_differently_from_place_to_place():
    image = np.tile(np.linspace(0, 1, 128, dtype=np.float32), (128, 1))
    image[64:] *= 0.5
    alike = np.abs(image - 0.3) < 0.005
    assert np.ptp(clahe(image)[alike]) > 2 * np.ptp(image[alike])


def test_range_is_taken_from_valid_pixels():
    image, valid = limb(128), np.ones((128, 128), np.bool_)
    valid[:32] = False
    clean = tone_curve(image, valid=valid)
    image[:32] = 1
    np.testing.assert_allclose(tone_curve(image, valid=valid)[32:], clean[32:], atol=1e-6)
