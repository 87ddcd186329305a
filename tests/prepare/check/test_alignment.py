import cv2
import numpy as np
import pytest

from radenhance.prepare.check.alignment import align


def anatomy(rows, columns, seed=0):
    """Structures of all sizes in [0, 1], as radiographs have."""
    random = np.random.default_rng(seed)
    image = np.zeros((rows, columns), np.float32)
    for sigma in (1, 3, 9, 27):
        noise = random.standard_normal((rows, columns)).astype(np.float32)
        image += cv2.GaussianBlur(noise, (0, 0), sigma) * sigma
    return (image - image.min()) / max(np.ptp(image), 1e-6)


def enhanced(raw):
    """Another tone and more local contrast than the raw image has."""
    image = raw**1.5 + 2 * (raw - cv2.GaussianBlur(raw, (0, 0), 12))
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def moved(image, rows, columns):
    matrix = np.float32([[1, 0, columns], [0, 1, rows]])
    size = image.shape[::-1]
    return cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


SIZES = [(200, 300), (700, 500), (1100, 1500)]


@pytest.mark.parametrize("size", SIZES)
def test_a_target_in_place_has_no_shift(size):
    raw = anatomy(*size)
    found = align(raw, enhanced(raw))
    assert found.distance < 0.05
    assert found.correlation > 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "shift", [(1, 0), (0, -1), (0.7, -0.3), (-0.4, 0.45), (12.25, -31), (-3, 60.5)]
)
@pytest.mark.parametrize("inverted", [False, True])
def test_the_shift_is_found_to_a_tenth_of_a_pixel_in_either_polarity(size, shift, inverted):
    raw = anatomy(*size)
    target = moved(enhanced(raw), *shift)
    found = align(raw, 1 - target if inverted else target)
    assert found.shift == pytest.approx(shift, abs=0.1)


@pytest.mark.parametrize("size", SIZES)
def test_an_inverted_target_has_negative_correlation_and_another_image_none(size):
    raw = anatomy(*size)
    assert align(raw, 1 - enhanced(raw)).correlation < -0.5
    assert abs(align(raw, enhanced(anatomy(*size, seed=1))).correlation) < 0.2


def test_noise_on_both_does_not_hide_the_shift():
    raw = anatomy(700, 500)
    random = np.random.default_rng(2)
    noisy = [
        (image + random.normal(0, 0.02, image.shape)).astype(np.float32)
        for image in (raw, moved(enhanced(raw), 0, 1))
    ]
    assert align(*noisy).shift == pytest.approx((0, 1), abs=0.15)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (40, 40), (16, 16)])
def test_images_of_any_size_and_constant_ones_have_an_answer(size):
    flat = np.full(size, 0.5, np.float32)
    assert align(flat, flat).correlation == 0
    assert np.isfinite(align(flat, anatomy(*size)).distance)
