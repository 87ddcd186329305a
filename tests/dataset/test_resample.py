import numpy as np
import pytest

from radenhance.dataset.resample import resample


def image(rows, columns):
    """Values of 16 bits, all different."""
    values = np.random.default_rng(0).permutation(rows * columns).reshape(rows, columns)
    return (values / 65535).astype(np.float32)


def test_resampling_keeps_proportions_and_mean():
    raw = image(120, 90)
    small = resample(raw, 45)
    assert small.shape == (60, 45)
    assert small.mean() == pytest.approx(raw.mean(), rel=1e-3)
    assert small.dtype == np.float32


def test_no_resampling_at_the_size_it_has():
    raw = image(50, 60)
    assert resample(raw, 50) is raw


def test_upsampling_stays_between_the_values_it_has():
    small = image(20, 30)
    large = resample(small, 50)
    assert large.shape == (50, 75)
    assert small.min() <= large.min() <= large.max() <= small.max()


@pytest.mark.parametrize("shape", [(120, 90), (90, 120), (33, 100), (4188, 30)])
@pytest.mark.parametrize("side", [7, 45, 101])
def test_the_shorter_side_is_exactly_what_was_asked_for(shape, side):
    assert min(resample(image(*shape), side).shape) == side


def test_downsampling_averages_noise_out():
    noise = np.random.default_rng(0).normal(0.5, 0.1, (256, 256)).astype(np.float32)
    assert resample(noise, 64).std() == pytest.approx(0.1 / 4, rel=0.1)
