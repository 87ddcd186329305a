"""The thresholds that validation images ask for."""

import numpy as np
import pytest

from radenhance.inference.guard.bands import Differences, Octave
from radenhance.inference.guard.calibrate import WORST, numbers_of_boxes, thresholds
from radenhance.inference.guard.guard import THRESHOLDS


def with_spots(*scores, octaves=(0,)):
    score = np.zeros((40, 100), np.float32)
    score[20, 10 : 10 + 20 * len(scores) : 20] = scores
    return Differences(
        [Octave(octave, score, score > 0) for octave in octaves], score.shape, score.shape
    )


def found(images, per_image):
    return thresholds([numbers_of_boxes(image) for image in images], per_image)


def per_image(allowed, num_images):
    """Return boxes per image that allow a number of boxes of all images beside the worst one's."""
    return (allowed + WORST + 0.5) / (num_images + 1)


@pytest.mark.parametrize(("allowed", "highest_left"), [(2, 3), (1, 4), (0, 5)])
def test_thresholds_leave_as_many_boxes_as_are_allowed(allowed, highest_left):
    images = [with_spots(3, 5), with_spots(4), *[with_spots()] * 20]
    scores = found(images, per_image(allowed, len(images)))
    assert highest_left <= scores[0] < 1.04 * highest_left
    assert sum(len(image.boxes(scores)) for image in images) == allowed


def test_few_images_do_not_lower_thresholds_below_the_usual_ones():
    assert found([with_spots(1)] * 7, 0.9) == list(THRESHOLDS)
    assert found([with_spots(1)] * 8, 0.9) < list(THRESHOLDS)
    assert 20 <= found([with_spots(20)] * 7, 0.9)[0] < 21


def test_a_difference_in_all_octaves_is_one_box_and_their_proportion_is_fixed():
    images = [with_spots(8, octaves=(0, 1, 2)), *[with_spots()] * 20]
    scores = found(images, per_image(1, len(images)))
    assert sum(len(image.boxes(scores)) for image in images) == 1
    assert np.allclose(np.divide(scores, THRESHOLDS), scores[0] / THRESHOLDS[0])
    assert scores[0] < 1.4  # nothing but that one
    scores = found(images, per_image(0, len(images)))
    assert 8 <= min(scores) < 8.3


def test_an_image_full_of_boxes_raises_thresholds_above_nearly_all_of_them():
    score = np.zeros((400, 400), np.float32)
    score[5::20, 5::20] = np.linspace(2, 3, 400).reshape(20, 20)
    crowded = Differences([Octave(0, score, score > 0)], score.shape, score.shape)
    assert 2.9 < found([crowded, *[with_spots()] * 40], 0.5)[0] < 3.1
