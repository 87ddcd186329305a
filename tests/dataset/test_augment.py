import numpy as np
import pytest

from radenhance.dataset.augment import (
    Geometry,
    lower_dose,
    mirrored_crop,
    random_dose,
    random_exposure,
)
from radenhance.dataset.normalize import to_unit
from radenhance.phantoms.physics import Exposure, expose


def image(rows, columns):
    """Values of 16 bits, all different, in no order that a geometry could leave alone."""
    values = np.random.default_rng(0).permutation(rows * columns).reshape(rows, columns)
    return (values / 65535).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_same_geometry_on_both_images(seed):
    raw = image(96, 80)
    moved_raw, moved_target = Geometry(64)((raw, 1 - raw), seed)
    assert moved_raw.shape == (64, 64)
    assert moved_target == pytest.approx(1 - moved_raw, abs=1e-6)


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("seed", range(25))
def test_raw_and_target_stay_aligned_whatever_the_size_and_the_crop(seed, moves):
    """The target is an affine map of raw: where they come apart by a pixel, it is none."""
    random = np.random.default_rng(seed)
    rows, columns = (int(side) for side in random.integers(33, 140, 2))
    crop = random.choice([None, int(random.integers(8, min(rows, columns) + 1))])
    raw = image(rows, columns)
    moved_raw, moved_target = Geometry(crop, moves=moves)((raw, 0.25 + raw / 2), seed)
    assert moved_raw.dtype == moved_target.dtype == np.float32
    assert moved_target == pytest.approx(0.25 + moved_raw / 2, abs=1e-6)
    if crop is not None:
        assert moved_raw.shape == moved_target.shape == (crop, crop)
    else:
        assert sorted(moved_raw.shape) == sorted((rows, columns))


def test_seed_alone_decides():
    raw = image(96, 80)
    geometry = Geometry(48)
    first, _ = geometry((raw, raw), 7)
    geometry((raw, raw), 8)
    assert np.array_equal(geometry((raw, raw), 7)[0], first)
    assert np.array_equal(Geometry(48)((raw, raw), 7)[0], first)
    assert not np.array_equal(geometry((raw, raw), 8)[0], first)


def test_all_eight_symmetries_are_drawn_and_move_values_without_changing_them():
    raw = image(16, 16)
    drawn = {Geometry(None)((raw, raw), seed)[0].tobytes() for seed in range(200)}
    symmetries = {
        np.rot90(flipped, turns).tobytes() for flipped in (raw, raw.T) for turns in range(4)
    }
    assert symmetries <= drawn


class Recorder:
    """An image that remembers which parts of it were read."""

    def __init__(self, pixels):
        self.pixels, self.shape, self.read = pixels, pixels.shape, []

    def __getitem__(self, area):
        self.read.append(self.pixels[area].size)
        return self.pixels[area]


def test_of_a_large_image_only_the_surroundings_of_the_crop_are_read():
    raw = Recorder(image(600, 500))
    for seed in range(20):
        Geometry(64)((raw, raw), seed)
    assert max(raw.read) <= 88**2


@pytest.mark.parametrize("slope", [(1, 0), (0, 1), (2, -1)])
def test_inside_a_large_image_no_crop_meets_a_border(slope):
    """A plane stays a plane under every affine map; mirrored at a border it would be folded."""
    y, x = np.mgrid[0:400, 0:400].astype(np.float32)
    plane = slope[0] * x + slope[1] * y
    for seed in range(300):
        crop, _ = Geometry(32)((plane, plane), seed)
        if crop.min() > 20 and crop.max() < 380:
            for axis in (0, 1):
                assert np.abs(np.diff(crop, 2, axis)).max() < 0.1


def test_crops_come_from_everywhere():
    y, x = np.mgrid[0:50, 0:70].astype(np.float32)
    places = [Geometry(20, moves=False)((x, y), seed) for seed in range(600)]
    assert {int(crop_x[0, 0]) for crop_x, _ in places} == set(range(51))
    assert {int(crop_y[0, 0]) for _, crop_y in places} == set(range(31))


def test_place_and_exposure_are_drawn_independently():
    x = np.arange(1000, dtype=np.float32) * np.ones((10, 1), np.float32)
    drawn = [
        (Geometry(10, moves=False)((x, x), seed)[0][0, 0], random_exposure(seed, max_log2=1))
        for seed in range(400)
    ]
    assert abs(np.corrcoef(np.array(drawn).T)[0, 1]) < 0.15


@pytest.mark.parametrize("corner", [(-3, -2), (0, 0), (5, 4), (-3, 4), (5, -2)])
def test_a_rectangle_over_the_border_is_mirrored(corner):
    small = image(12, 10)
    expected = np.pad(small, 8, mode="reflect")[8 + corner[0] :, 8 + corner[1] :][:9, :8]
    assert np.array_equal(mirrored_crop(small, corner, (9, 8)), expected)


def test_without_moves_only_the_crop_is_left():
    raw = image(32, 40)
    cropped, _ = Geometry(32, moves=False)((raw, raw), 3)
    windows = np.lib.stride_tricks.sliding_window_view(raw, (32, 32)).reshape(-1, 32, 32)
    assert any(np.array_equal(cropped, window) for window in windows)


def test_exposure_is_within_its_bounds():
    factors = [random_exposure(seed, max_log2=0.5) for seed in range(200)]
    assert 2**-0.5 <= min(factors) < 0.8
    assert 1.25 < max(factors) <= 2**0.5


def slab(mas, seed, water_cm=6.0):
    """Return the unit values of a slab of water, and the quanta at the detector's full scale."""
    water = np.full((400, 400), water_cm, np.float32)
    exposure = Exposure(
        60, mas, spacing_mm=0.3, electronic_quanta=0.0, gain_residual=0.0, blur_mm=0.03
    )
    random = np.random.default_rng(seed)
    stored, _ = expose(water, np.zeros_like(water), exposure, rng=random)
    canonical = (exposure.max_value - stored).astype(np.uint16)
    unit = to_unit(canonical, bits=exposure.bits, relationship="LIN")
    return unit, exposure.direct_quanta / exposure.direct_level


def noise_of(unit):
    """Return the variance between neighbours, in which the smooth scatter is no part."""
    return np.var(np.diff(unit[50:-50, 50:-50])) / 2


@pytest.mark.parametrize("water_cm", [3.0, 8.0])
def test_a_quarter_of_the_dose_has_the_noise_of_a_quarter_of_the_quanta(water_cm):
    """Of 300 x 300 pixels a variance is known to about 1 %."""
    full, quanta = slab(0.4, seed=0, water_cm=water_cm)
    quarter, _ = slab(0.1, seed=1, water_cm=water_cm)
    lowered = lower_dose(full, 4.0, bits=14, full_scale_quanta=quanta, seed=0)
    assert noise_of(lowered) == pytest.approx(noise_of(quarter), rel=0.05)
    assert noise_of(full) == pytest.approx(noise_of(quarter) / 4, rel=0.05)
    assert lowered.mean() == pytest.approx(full.mean(), abs=1e-3)


def test_doses_are_within_their_bounds_and_a_whole_dose_changes_nothing():
    divisors = [random_dose(seed, max_log2=2) for seed in range(200)]
    assert 1 <= min(divisors) < 1.1
    assert 3.6 < max(divisors) <= 4
    unit = image(20, 20)
    same = lower_dose(unit, 1.0, bits=14, full_scale_quanta=1e5, seed=0)
    assert same == pytest.approx(unit, abs=1e-6)
