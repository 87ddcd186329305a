"""The thresholds that validation images ask for."""

import numpy as np
import pytest

from radenhance.inference.guard.bands import OCTAVES, Differences, Octave
from radenhance.inference.guard.calibrate import numbers_of_boxes, thresholds
from radenhance.inference.guard.guard import THRESHOLDS


def with_spots(*scores, octave=0):
    score = np.zeros((40, 100), np.float32)
    score[20, 10 : 10 + 20 * len(scores) : 20] = scores
    return Differences([Octave(octave, score, score > 0)], score.shape, score.shape)


def found(images, per_image):
    return thresholds([numbers_of_boxes(image) for image in images], per_image * OCTAVES)


@pytest.mark.parametrize(("per_image", "highest_left"), [(2 / 3, 3), (1 / 3, 4), (0, 5)])
def test_a_threshold_leaves_as_many_boxes_as_are_allowed_in_the_mean(per_image, highest_left):
    images = [with_spots(3, 5), with_spots(4), with_spots()]
    score, *_ = found(images, per_image)
    assert highest_left <= score < 1.06 * highest_left
    boxes = [image.boxes([score, 1, 1]) for image in images]
    assert sum(map(len, boxes)) <= per_image * len(images)


def test_each_octave_has_a_threshold_of_its_own_and_one_that_no_image_has_the_usual_one():
    images = [with_spots(3, octave=1), with_spots(4, octave=2)]
    assert found(images, 0)[0] == THRESHOLDS[0]
    assert 3 <= found(images, 0)[1] < 3.2
    assert 4 <= found(images, 0)[2] < 4.3


def test_an_image_full_of_boxes_raises_a_threshold_above_all_of_them():
    score = np.zeros((400, 400), np.float32)
    score[5::20, 5::20] = np.linspace(2, 3, 400).reshape(20, 20)
    crowded = Differences([Octave(0, score, score > 0)], score.shape, score.shape)
    assert 2.9 < found([crowded, *[with_spots()] * 9], 0.5)[0] < 3.1
