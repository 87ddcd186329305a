"""The comparison of two images, on images whose difference is known."""

import cv2
import numpy as np
import pytest

from radenhance.inference.guard.bands import differences

SPACING_MM = 0.3
THRESHOLD = 4.0
PLACE = (100, 140)


def anatomy():
    """Structures of all sizes, and noise."""
    random = np.random.default_rng(0)
    image = np.full((200, 240), 0.4, np.float32)
    for sigma, height in ((3, 0.03), (10, 0.08), (30, 0.2)):
        spots = cv2.GaussianBlur(
            random.standard_normal(image.shape).astype(np.float32), (0, 0), sigma
        )
        image += height * spots / spots.std() / 2
    return image + 0.003 * random.standard_normal(image.shape).astype(np.float32)


def disc(mm):
    y, x = np.ogrid[:200, :240]
    far = np.hypot(y - PLACE[0], x - PLACE[1])
    return (mm / SPACING_MM / 2 - far + 0.5).clip(0, 1).astype(np.float32)


def gain(image):
    """An enhancement: twice the contrast on one side, the same on the other."""
    rise = np.linspace(1, 2, image.shape[1], dtype=np.float32)
    return ((image - 0.4) * 0.5 * rise + 0.45).astype(np.float32)


def highest(found):
    return max(float(octave.score.max()) for octave in found.octaves)


def test_a_gain_that_varies_slowly_is_no_difference():
    source = anatomy()
    assert highest(differences(source, gain(source), spacing_mm=SPACING_MM)) < THRESHOLD


@pytest.mark.parametrize("mm", [1, 2, 3])
def test_a_planted_disc_is_invented_and_one_that_is_missing_erased(mm):
    source = anatomy()
    shown = source + 0.12 * disc(mm)
    invented = differences(source, gain(source) + 0.12 * disc(mm), spacing_mm=SPACING_MM)
    erased = differences(shown, gain(source), spacing_mm=SPACING_MM)
    for found, kind in ((invented, "invented"), (erased, "erased")):
        box, *others = found.boxes([THRESHOLD] * 3)
        assert (box.kind, others) == (kind, [])
        assert box.top <= PLACE[0] < box.bottom
        assert box.left <= PLACE[1] < box.right


@pytest.mark.parametrize("mm", [1, 2, 3])
def test_an_erased_disc_does_not_hide_itself_by_being_strong(mm):
    source = anatomy()
    weak, *stronger = (
        differences(source + contrast * disc(mm), gain(source), spacing_mm=SPACING_MM)
        .boxes([THRESHOLD] * 3)[0]
        .score
        for contrast in (0.06, 0.12, 0.24, 0.48)
    )
    assert min(stronger) > 0.85 * weak


def test_noise_of_the_source_has_nothing_to_lose():
    random = np.random.default_rng(1)
    noise = 0.01 * random.standard_normal((200, 240)).astype(np.float32)
    flat = np.full_like(noise, 0.5)
    assert highest(differences(flat + noise, flat, spacing_mm=SPACING_MM)) < THRESHOLD


def test_boxes_are_in_pixels_of_the_file_at_any_spacing():
    source = anatomy()
    output = gain(source) + 0.12 * disc(3)
    source, output = (cv2.resize(image, None, fx=3, fy=3) for image in (source, output))
    box = differences(source, output, spacing_mm=SPACING_MM / 3).boxes([THRESHOLD] * 3)[0]
    assert box.top <= 3 * PLACE[0] < box.bottom
    assert box.left <= 3 * PLACE[1] < box.right


def test_what_is_outside_the_field_is_not_judged():
    source, inside = anatomy(), np.ones((200, 240), bool)
    inside[:, 120:] = False
    found = differences(source, source + 0.2 * disc(3), spacing_mm=SPACING_MM, inside=inside)
    assert highest(found) < THRESHOLD


def test_the_border_of_the_field_is_no_structure():
    source, inside = anatomy(), np.zeros((200, 240), bool)
    inside[20:180, 20:200] = True
    output = gain(source) * inside
    found = differences(source * inside, output, spacing_mm=SPACING_MM, inside=inside)
    assert highest(found) < THRESHOLD


def test_an_edge_that_ends_in_black_is_no_structure():
    source = anatomy() + np.linspace(-0.5, 0.5, 240, dtype=np.float32)
    output = (1.5 * source - 0.3).clip(0, 1)
    found = differences(source.clip(0, 1), output, spacing_mm=SPACING_MM)
    assert (output == 0).mean() > 0.1
    assert highest(found) < THRESHOLD


@pytest.mark.parametrize("shape", [(32, 32), (33, 400)])
def test_small_and_constant_images_are_judged_too(shape):
    image = np.zeros(shape, np.float32)
    assert differences(image, image, spacing_mm=0.3).boxes([1] * 3) == []
