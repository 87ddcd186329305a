import numpy as np
import pytest

from radenhance.reference_enhancer.presets import Preset
from radenhance.reference_enhancer.tone import apply_tone, compress_highlights, gamma, percentiles

EVERYWHERE = np.ones((200, 150), np.bool_)


def noise(seed=0):
    return np.random.default_rng(seed).gamma(2, 1, (200, 150)).astype(np.float32)


def test_percentiles_agree_with_sorting():
    image, percents = noise(), [0, 0.1, 5, 50, 99.5, 100]
    found = percentiles(image, EVERYWHERE, percents)
    np.testing.assert_allclose(found, np.percentile(image, percents), atol=2e-3 * np.ptp(image))


def test_percentiles_look_only_under_the_mask():
    image, mask = noise(), EVERYWHERE.copy()
    mask[:50] = False
    image[:50] = 1e6
    assert percentiles(image, mask, [100])[0] < 100


def test_percentiles_of_a_constant_are_the_constant():
    assert (
        percentiles(np.full((200, 150), 0.3, np.float32), EVERYWHERE, [1, 99])
        == [pytest.approx(0.3)] * 2
    )


def test_tone_keeps_the_order_of_pixels():
    image = noise()
    toned = apply_tone(image.copy(), EVERYWHERE, Preset())
    order = np.argsort(image, axis=None)
    assert np.all(np.diff(toned.ravel()[order]) >= -1e-6)
    assert toned.min() >= 0
    assert toned.max() <= 1


def test_median_of_the_anatomy_becomes_the_middle():
    toned = apply_tone(noise(), EVERYWHERE, Preset(middle=0.4, gammas=(0.1, 10)))
    assert np.median(toned) == pytest.approx(0.4, abs=0.005)


def test_gamma_keeps_within_its_range():
    assert gamma(0.001, Preset(gammas=(0.6, 1.7))) == 0.6
    assert gamma(0.999, Preset(gammas=(0.6, 1.7))) == 1.7


def test_highlights_are_bent_but_never_cut():
    bright = np.linspace(0, 1.5, 301, dtype=np.float32)[None]
    bent = compress_highlights(bright.copy(), start=0.9)
    assert np.array_equal(bent[bright <= 0.9], bright[bright <= 0.9])
    assert np.all(np.diff(bent[0]) > 0)
    assert bent.max() <= 1


def test_highlights_far_above_white_are_white():
    far = np.array([[3, 1e3, 1e6]], np.float32)
    bent = compress_highlights(far, start=0.9)
    assert bent.max() <= 1
    np.testing.assert_allclose(bent, 1, atol=1e-3)


def test_without_shoulder_highlights_are_cut():
    bright = np.array([[0.5, 0.95, 1.5]], np.float32)
    np.testing.assert_allclose(compress_highlights(bright, start=1), [[0.5, 0.95, 1]])
