import numpy as np
import pytest
from radiograph_scenes import limb

from radenhance.reference_enhancer.air import air_levels, blacken_air, find_air


def scaled(image):
    return (image - image.min()) / np.ptp(image)


def test_air_beside_a_limb_is_found():
    image = scaled(limb(256))
    beam = find_air(image, np.ones(image.shape, np.bool_))
    assert beam is not None
    assert beam.shape == image.shape
    assert np.abs(beam[:, :20] - image[:, :20].mean()).max() < 0.03


def test_uneven_beam_is_followed():
    image = scaled(limb(256))
    heel = np.linspace(0, 0.08, 256, dtype=np.float32)[None]
    beam = find_air(np.clip(image + heel, 0, 1), np.ones(image.shape, np.bool_))
    assert beam is not None
    assert beam[:, -20:].mean() - beam[:, :20].mean() == pytest.approx(0.075, abs=0.015)


def test_lung_that_fills_the_field_is_not_air():
    random = np.random.default_rng(0)
    y, x = np.indices((300, 300))
    lung = 0.06 + 0.03 * np.sin(x / 5) * np.sin(y / 7)
    chest = np.where(np.hypot(x - 100, y - 150) < 130, lung, 0.6)
    image = (chest + random.normal(0, 0.002, chest.shape)).clip(0, 1).astype(np.float32)
    assert find_air(image, np.ones(image.shape, np.bool_)) is None


def test_gas_inside_the_patient_is_not_air():
    y, x = np.indices((300, 300))
    image = np.where(np.hypot(x - 150, y - 150) < 60, 0.02, 0.6).astype(np.float32)
    assert find_air(image, np.ones(image.shape, np.bool_)) is None


def test_air_turns_black_and_tissue_stays():
    image = np.array([[0.05, 0.06, 0.075, 0.09, 0.5]], np.float32)
    enhanced = np.full((1, 5), 0.4, np.float32)
    blacken_air(enhanced, image, np.full((1, 5), 0.06, np.float32))
    np.testing.assert_allclose(enhanced, [[0, 0, 0.2, 0.4, 0.4]], atol=1e-6)


def test_noise_of_air_is_air():
    image = scaled(limb(256, quanta=500))
    ceiling = find_air(image, np.ones(image.shape, np.bool_))
    assert ceiling is not None
    assert np.mean(image[:, :20] <= ceiling[:, :20]) > 0.97


def test_level_of_air_is_the_first_valley():
    random = np.random.default_rng(0)
    values = np.concatenate(
        [
            random.normal(0.02, 0.005, 5000),
            random.normal(0.1, 0.01, 5000),
            random.uniform(0.9, 1, 100),
        ]
    ).astype(np.float32)
    assert air_levels(values)[0] == pytest.approx(0.055, abs=0.02)


def test_no_level_without_a_valley():
    assert air_levels(np.linspace(0, 1, 10000, dtype=np.float32)) == []


def test_air_of_two_strengths_is_all_air():
    image = scaled(limb(256))
    image[:, 128:] += 0.05
    image = image.clip(0, 1)
    ceiling = find_air(image, np.ones(image.shape, np.bool_))
    assert ceiling is not None
    assert np.mean(image[:, 240:] <= ceiling[:, 240:]) > 0.95
    assert np.mean(image[:, :16] <= ceiling[:, :16]) > 0.95
    assert np.mean(image[:, 80:170] > ceiling[:, 80:170]) > 0.99
