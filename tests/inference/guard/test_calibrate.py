"""The thresholds that validation images ask for."""

import numpy as np
import pytest

from radenhance.inference.guard.bands import OCTAVES, Differences, Octave
from radenhance.inference.guard.calibrate import WORST, numbers_of_boxes, thresholds
from radenhance.inference.guard.guard import THRESHOLDS


def with_spots(*scores, octave=0):
    score = np.zeros((40, 100), np.float32)
    score[20, 10 : 10 + 20 * len(scores) : 20] = scores
    return Differences([Octave(octave, score, score > 0)], score.shape, score.shape)


def found(images, share):
    return thresholds([numbers_of_boxes(image) for image in images], share * OCTAVES)


def share_of(allowed, num_images):
    """Return boxes per image that allow a number of boxes of all images beside the worst one's."""
    return (allowed + WORST + 0.5) / (num_images + 1)


@pytest.mark.parametrize(("allowed", "highest_left"), [(2, 3), (1, 4), (0, 5)])
def test_a_threshold_leaves_as_many_boxes_as_are_allowed(allowed, highest_left):
    images = [with_spots(3, 5), with_spots(4), *[with_spots()] * 20]
    score, *_ = found(images, share_of(allowed, len(images)))
    assert highest_left <= score < 1.06 * highest_left
    assert sum(len(image.boxes([score, 1, 1])) for image in images) == allowed


def test_few_images_do_not_lower_a_threshold_below_the_usual_one():
    assert found([with_spots(1)] * 12, 0.2)[0] == THRESHOLDS[0]
    assert 20 <= found([with_spots(20)] * 12, 0.2)[0] < 21


def test_each_octave_has_a_threshold_of_its_own_and_one_that_no_image_has_the_usual_one():
    images = [with_spots(3, octave=1), with_spots(4, octave=2), *[with_spots(octave=1)] * 20]
    images += [with_spots(octave=2)] * 20
    first, second, third = found(images, share_of(0, 21))
    assert first == THRESHOLDS[0]
    assert 3 <= second < 3.2
    assert 4 <= third < 4.3


def test_an_image_full_of_boxes_raises_a_threshold_above_nearly_all_of_them():
    score = np.zeros((400, 400), np.float32)
    score[5::20, 5::20] = np.linspace(2, 3, 400).reshape(20, 20)
    crowded = Differences([Octave(0, score, score > 0)], score.shape, score.shape)
    assert 2.9 < found([crowded, *[with_spots()] * 40], 0.5)[0] < 3.1
