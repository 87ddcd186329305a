import numpy as np
import pytest
from radiograph_scenes import collimator, limb

from radenhance.reference_enhancer.presets import Preset
from radenhance.reference_enhancer.tone_range import find_tone_range, scale_to_range


def everywhere(image):
    return np.ones(image.shape, np.bool_)


def test_tone_range_spans_air_to_bone():
    image = limb(256)
    low, high = find_tone_range(image, everywhere(image), Preset())
    assert low == pytest.approx(np.percentile(image, 0.1), abs=0.01)
    assert high == pytest.approx(np.percentile(image, 99.9), abs=0.05)


def test_lead_marker_stretches_the_tone_range_by_less_than_half():
    image = limb(256)
    low, high = find_tone_range(image, everywhere(image), Preset())
    image[10:30, 10:30] = 1
    stretched = find_tone_range(image, everywhere(image), Preset())
    assert stretched[0] == pytest.approx(low, abs=0.01)
    assert high <= stretched[1] < low + 1.5 * (high - low)
    assert np.percentile(image, 99.9) > low + 2 * (high - low)  # the marker's own attenuation


def test_tone_range_looks_only_at_the_field():
    passes = collimator(256)
    image, open_image = limb(256, blocked=passes), limb(256)
    inside = find_tone_range(image, passes > 0.99, Preset())
    assert inside == pytest.approx(find_tone_range(open_image, passes > 0.99, Preset()), abs=0.05)


def test_constant_field_has_no_tone_range():
    image = np.full((64, 64), 0.5, np.float32)
    image[0] = 1
    field = everywhere(image)
    field[0] = False
    assert find_tone_range(image, field, Preset()) is None


def test_few_pixels_that_differ_have_a_tone_range():
    image = np.zeros((200, 200), np.float32)
    image[5, 5] = 0.5
    assert find_tone_range(image, everywhere(image), Preset()) == pytest.approx((0, 0.5), abs=1e-4)


def test_scaling_cuts_below_and_compresses_above():
    image = np.array([[0.1, 0.2, 0.3, 0.4, 0.8]], np.float32)
    np.testing.assert_allclose(
        scale_to_range(image, 0.2, 0.4), [[0, 0, 0.5, 1, 1 + 0.25 * 2]], atol=1e-6
    )


def test_scaling_leaves_its_input_alone():
    image = limb(64)
    before = image.copy()
    scale_to_range(image, 0.2, 0.4)
    assert np.array_equal(image, before)
