from dataclasses import replace

import cv2
import numpy as np
import pytest
from radiograph_scenes import limb

from radenhance.reference_enhancer.amplify import amplify, level_gains, noise_by_tone, power_gain
from radenhance.reference_enhancer.presets import OCTAVE_GAINS, Preset
from radenhance.reference_enhancer.pyramid import decompose

NEUTRAL = Preset(power=1, octave_gains=(1.0,), residual_gain=1)


def everywhere(image):
    return np.ones(image.shape, np.bool_)


@pytest.mark.parametrize("shape", [(256, 256), (255, 190), (64, 301)])
def test_gains_of_one_give_the_image_back(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(amplify(image, everywhere(image), NEUTRAL), image, rtol=0, atol=1e-6)


def test_faint_structures_gain_more_than_strong_ones():
    factors = power_gain(np.array([[0.001, 0.005, 0.02, 0.05, 0.3]], np.float32), 1.5, Preset())[0]
    assert factors[0] == pytest.approx(factors[1], rel=1e-5)  # the linear core
    assert factors[1] == pytest.approx(1.5 * 0.1**-0.3, rel=1e-5)
    assert np.all(np.diff(factors[1:]) < 0)
    assert factors[3] == pytest.approx(1.5, rel=1e-5)
    assert factors[4] < 1


def test_power_gain_keeps_the_order_of_contrasts():
    contrasts = np.linspace(0, 0.8, 500, dtype=np.float32)[None]
    assert np.all(np.diff(contrasts * power_gain(contrasts, 1, Preset())) > 0)


def test_spacing_shifts_the_gains_by_octaves():
    preset = Preset()
    assert level_gains(4, preset, None) == pytest.approx(OCTAVE_GAINS[:4])
    assert level_gains(4, preset, 0.1) == pytest.approx(OCTAVE_GAINS[:4])
    assert level_gains(4, preset, 0.2) == pytest.approx(OCTAVE_GAINS[1:5])
    assert level_gains(3, preset, 0.05) == pytest.approx([1.0, 1.0, 1.3])
    assert level_gains(2, preset, 1e3) == [0.75, 0.75]


def test_broad_differences_are_compressed():
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    flat = amplify(ramp, everywhere(ramp), replace(NEUTRAL, residual_gain=0.5))
    assert np.ptp(flat[128, 40:-40]) == pytest.approx(0.5 * np.ptp(ramp[128, 40:-40]), rel=0.1)


def test_measured_noise_is_the_noise():
    random = np.random.default_rng(0)
    for sigma in (0.002, 0.02):
        contrast = np.full((400, 400), sigma) * random.normal(1, 0.11, (400, 400))
        tones = np.full((400, 400), 128, np.uint8)
        table = noise_by_tone(contrast.astype(np.float32), tones, everywhere(contrast))
        assert table[128] == pytest.approx(sigma, rel=0.05)


def test_noise_is_measured_for_each_brightness():
    contrast = np.full((200, 200), 0.01, np.float32)
    tones = np.full((200, 200), 40, np.uint8)
    contrast[:, 100:], tones[:, 100:] = 0.05, 200
    table = noise_by_tone(contrast, tones, everywhere(contrast))
    assert table[204] == pytest.approx(5 * table[44])
    assert table[44] < table[120] < table[204]


@pytest.mark.parametrize("sigma", [0.003, 0.01])
def test_noise_is_hardly_amplified(sigma):
    random = np.random.default_rng(0)
    image = (0.5 + random.normal(0, sigma, (512, 512))).astype(np.float32)
    before = decompose(image, 2)
    after = decompose(amplify(image, everywhere(image), Preset()), 2)
    for i in range(2):
        assert after[i].std() < 1.1 * before[i].std()


def test_without_gate_noise_is_amplified():
    random = np.random.default_rng(0)
    image = (0.5 + random.normal(0, 0.003, (512, 512))).astype(np.float32)
    result = amplify(image, everywhere(image), Preset(num_noisy_levels=0))
    assert decompose(result, 1)[0].std() > 1.5 * decompose(image, 1)[0].std()


def test_structure_well_above_the_noise_is_amplified():
    random = np.random.default_rng(0)
    image = 0.5 + random.normal(0, 0.001, (512, 512))
    y, x = np.indices((100, 100))
    image[200:300, 200:300] += 0.01 * np.sin(x) * np.sin(y)
    image = image.astype(np.float32)
    result = amplify(image, everywhere(image), Preset())
    inside = slice(210, 290), slice(210, 290)
    assert result[inside].std() > 1.4 * image[inside].std()


def test_amplification_does_not_depend_on_the_number_of_threads():
    image = limb(300)
    threads = cv2.getNumThreads()
    results = []
    for num in (1, 2):
        cv2.setNumThreads(num)
        results.append(amplify(image, everywhere(image), Preset()))
    cv2.setNumThreads(threads)
    assert np.array_equal(*results)
