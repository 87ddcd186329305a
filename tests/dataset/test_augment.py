import numpy as np
import pytest

from radenhance.dataset.augment import Geometry, random_exposure, resample


def image(rows, columns):
    """Values of 16 bits, all different, in no order that a geometry could leave alone."""
    values = np.random.default_rng(0).permutation(rows * columns).reshape(rows, columns)
    return (values / 65535).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_same_geometry_on_both_halves(seed):
    raw = image(96, 80)
    moved_raw, moved_target = Geometry(64)(raw, 1 - raw, seed)
    assert moved_raw.shape == (64, 64)
    assert moved_target == pytest.approx(1 - moved_raw, abs=1e-6)


def test_seed_alone_decides():
    raw = image(96, 80)
    geometry = Geometry(48)
    first, _ = geometry(raw, raw, 7)
    geometry(raw, raw, 8)
    assert np.array_equal(geometry(raw, raw, 7)[0], first)
    assert np.array_equal(Geometry(48)(raw, raw, 7)[0], first)
    assert not np.array_equal(geometry(raw, raw, 8)[0], first)


def test_all_eight_symmetries_are_drawn_and_move_values_without_changing_them():
    raw = image(16, 16)
    drawn = {Geometry(None)(raw, raw, seed)[0].tobytes() for seed in range(200)}
    symmetries = {
        np.rot90(flipped, turns).tobytes() for flipped in (raw, raw.T) for turns in range(4)
    }
    assert symmetries <= drawn


def test_without_moves_only_the_crop_is_left():
    raw = image(32, 40)
    cropped, _ = Geometry(32, moves=False)(raw, raw, 3)
    windows = np.lib.stride_tricks.sliding_window_view(raw, (32, 32)).reshape(-1, 32, 32)
    assert any(np.array_equal(cropped, window) for window in windows)


def test_resampling_keeps_proportions_and_mean():
    raw = image(120, 90)
    small = resample(raw, 45)
    assert small.shape == (60, 45)
    assert small.mean() == pytest.approx(raw.mean(), rel=1e-3)
    assert small.dtype == np.float32


def test_no_resampling_at_the_size_it_has():
    raw = image(50, 60)
    assert resample(raw, 50) is raw


def test_enlarging_stays_between_the_values_it_has():
    small = image(20, 30)
    large = resample(small, 50)
    assert large.shape == (50, 75)
    assert small.min() <= large.min() <= large.max() <= small.max()


def test_exposure_is_within_its_bounds():
    factors = [random_exposure(seed, max_log2=0.5) for seed in range(200)]
    assert 2**-0.5 <= min(factors) < 0.8
    assert 1.25 < max(factors) <= 2**0.5
