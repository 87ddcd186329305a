"""Contrast in regions that the target defines."""

import numpy as np
import pytest

from radenhance.inference.contrast import LEAST_BLOCK, Regions, cnr, eme, regions_of

EVERYWHERE = np.ones((64, 64), np.bool_)


def halves(dark, bright):
    image = np.full((64, 64), dark, np.float32)
    image[:, 32:] = bright
    return image


def noisy(image, deviation):
    return image + np.random.default_rng(0).normal(0, deviation, image.shape).astype(np.float32)


def test_dense_and_thin_are_told_apart_by_the_target():
    regions = regions_of(halves(0.2, 0.8), EVERYWHERE)
    assert (regions.dense == (halves(0, 1) == 1)).all()
    assert (regions.thin == ~regions.dense).all()


def test_what_is_outside_the_field_is_in_no_region():
    field = EVERYWHERE.copy()
    field[:16] = False
    regions = regions_of(halves(0.2, 0.8), field)
    assert not (regions.dense | regions.thin)[:16].any()
    assert not regions.blocks[: 16 // LEAST_BLOCK].any()
    assert regions.blocks[16 // LEAST_BLOCK :].all()


def test_black_of_the_target_is_no_anatomy_whose_blocks_count():
    regions = regions_of(halves(0.0, 0.8), EVERYWHERE)
    assert not regions.blocks[:, : 32 // LEAST_BLOCK].any()
    assert regions.blocks[:, 32 // LEAST_BLOCK :].all()


def test_cnr_is_the_difference_of_means_over_the_root_of_both_variances():
    regions = regions_of(halves(0.2, 0.8), EVERYWHERE)
    assert cnr(noisy(halves(0.4, 0.6), 0.02), regions) == pytest.approx(0.2 / 0.02 / 2**0.5, 0.05)


def test_cnr_does_not_change_with_gain_and_falls_with_noise():
    regions = regions_of(halves(0.2, 0.8), EVERYWHERE)
    image = noisy(halves(0.4, 0.6), 0.02)
    assert cnr(0.5 * image + 0.1, regions) == pytest.approx(cnr(image, regions), rel=1e-4)
    assert cnr(noisy(image, 0.05), regions) < cnr(image, regions)


def test_eme_is_the_mean_of_the_blocks_in_decibels():
    checks = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)
    regions = regions_of(np.full((64, 64), 0.5, np.float32), EVERYWHERE)
    found = eme(checks * np.float32(0.4) + np.float32(0.2), regions)
    assert found == pytest.approx(20 * np.log10((0.6 * 255 + 1) / (0.2 * 255 + 1)), rel=1e-4)
    assert eme(np.full((64, 64), 0.3, np.float32), regions) == 0


def test_images_without_regions_have_no_contrast():
    black = np.zeros((64, 64), np.float32)
    nothing = np.zeros((64, 64), np.bool_)
    for field in (EVERYWHERE, nothing):
        regions = regions_of(black, field)
        assert (cnr(noisy(black, 0.1), regions), eme(noisy(black, 0.1), regions)) == (0, 0)


def test_nothing_that_varies_has_no_contrast_to_noise_ratio():
    half = halves(0, 1) == 1
    regions = Regions(half, ~half, np.ones((16, 16), np.bool_), 4)
    assert cnr(halves(0.1, 0.9), regions) == 0
