"""Intervals: a factor with which they cover what they should."""

import numpy as np
import pytest

from radenhance.inference.guard.intervals import errors, factor, widths


def test_intervals_cover_nine_pixels_in_ten_of_new_images():
    random = np.random.default_rng(0)

    def image():
        source = random.random((64, 64), np.float32)
        target = source + np.float32(0.1) * random.standard_normal((64, 64), np.float32)
        return errors(widths(source, source, 0.3), source, target)

    times = factor([image() for _ in range(10)])
    assert np.mean([(image() <= times).mean() for _ in range(10)]) == pytest.approx(0.9, abs=0.02)


def test_images_count_alike_whatever_their_size():
    few, many = np.full(10, 1.0, np.float32), np.full(1000, 2.0, np.float32)
    assert factor([few, many], covered=0.4) == 1
    assert factor([few, many], covered=0.6) == 2
