"""The threshold that validation images ask for."""

import numpy as np

from radenhance.inference.guard.bands import Differences
from radenhance.inference.guard.calibrate import threshold


def with_spots(*scores):
    score = np.zeros((40, 100), np.float32)
    score[20, 10 : 10 + 20 * len(scores) : 20] = scores
    return Differences(score, score > 0, score.shape)


def test_the_threshold_leaves_as_many_boxes_as_are_allowed_in_the_mean():
    found = [with_spots(3, 5), with_spots(4), with_spots()]
    assert threshold(found, per_image=2 / 3) == 3
    assert threshold(found, per_image=1 / 3) == 4
    assert threshold(found, per_image=0) == 5
