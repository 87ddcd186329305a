"""The measures of benchmarks/detail.py and benchmarks/dose.py, on images that are known."""

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from radenhance.phantoms.physics import transmission
from radenhance.phantoms.radiograph import phantom

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def letter():
    image = np.full((40, 40), 80, np.uint8)
    cv2.putText(image, "R", (8, 32), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 4)
    return image.astype(np.float32) / 255


def test_a_marker_of_another_tone_correlates_and_one_that_has_melted_does_not(script, letter):
    detail = script("detail")
    assert detail.correlation(0.2 + 0.5 * letter, letter) > 0.999
    assert detail.correlation(letter**0.7, letter) > 0.95
    assert detail.correlation(cv2.GaussianBlur(letter, (0, 0), 6), letter) < 0.95


def test_a_blurred_image_has_less_fine_power_and_explains_less(script):
    detail = script("detail")
    image = np.random.default_rng(0).random((64, 80), np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), 0.7)
    assert script("harness").fine_power(image, image) == [1, 1]
    finest, following = script("harness").fine_power(blurred, image)
    assert finest < following < 0.9
    assert script("harness").fine_power(2 * image, image) == pytest.approx([4, 4], rel=1e-4)
    assert detail.explained(2 * image, image) == pytest.approx(1)
    assert detail.explained(image[::-1].copy(), image) < 0.01


def test_a_box_covers_the_same_part_of_an_image_of_another_size(script):
    box = script("detail").scaled((slice(10, 20), slice(31, 40)), (100, 200), (50, 60))
    assert box == (slice(5, 10), slice(9, 12))


def test_the_box_of_a_marker_is_where_its_lead_is():
    made = phantom("cat", seed=3, spacing_mm=0.8)
    rows, columns = (part.stop - part.start for part in made.marker)
    assert 5 <= rows * 0.8 <= 20
    assert 5 <= columns * 0.8 <= 20
    values = np.asarray(made.stored, float)
    wide = tuple(slice(max(part.start - 4, 0), part.stop + 4) for part in made.marker)
    inside = values[made.marker]
    around = (values[wide].sum() - inside.sum()) / (values[wide].size - inside.size)
    extreme = inside.min() if made.exposure.sign == 1 else inside.max()
    assert abs(extreme - around) > 0.3 * abs(values.max() - values.min())


def test_brightness_and_contrast_leave_detectability_and_noise_lowers_it(script):
    dose = script("dose")
    random = np.random.default_rng(0)
    absent = random.normal(size=(400, 3))
    present = 3 + random.normal(size=(400, 3))
    every = np.arange(400)
    plain = dose.Responses(present, absent).detectability(every)
    assert plain == pytest.approx(3, abs=0.3)
    other = dose.Responses(5 + 2 * present, 5 + 2 * absent).detectability(every)
    assert other == pytest.approx(plain)
    assert dose.Responses(present, 2 * absent).detectability(every) < 0.6 * plain


def test_a_template_sees_a_disc_and_no_brightness(script):
    dose = script("dose")
    weights = dose.template((2, 1), 4.0)
    assert abs(weights.sum()) < 1e-5
    assert (weights * dose.coverage((2, 1), 4.0)).sum() > 0.9
    assert abs((weights * dose.coverage((2, 2), 4.0)).sum()) < 1e-6


def test_quanta_behind_a_slab_are_those_wanted_at_any_thickness_and_dose(script):
    dose = script("dose")
    for thickness in dose.THICKNESSES_CM:
        water, bone = dose.paths(thickness, discs=False)
        for share in dose.DOSES:
            settings = dose.exposure(thickness, share)
            passed = transmission(water, bone, settings.kvp)[96, 96]
            per_area = settings.direct_quanta * passed * (0.1 / settings.spacing_mm) ** 2
            assert per_area == pytest.approx(dose.QUANTA * share, rel=1e-3)
