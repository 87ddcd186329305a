import numpy as np
import pytest

from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.texture import TILE_MM, crop_of_tile, power_law_tile


def test_texture_has_unit_variance_and_the_asked_spectrum():
    tile = power_law_tile(generator(1), spacing_mm=0.1, beta=2.6)
    assert tile.mean() == pytest.approx(0, abs=1e-3)
    assert tile.std() == pytest.approx(1, rel=1e-3)
    power = np.abs(np.fft.fft(tile, axis=1)) ** 2
    frequency = np.fft.fftfreq(tile.shape[1], 0.1)
    band = (frequency > 0.5) & (frequency < 3)
    slope = np.polyfit(np.log(frequency[band]), np.log(power.mean(0)[band]), 1)[0]
    # a cut through an isotropic 2-D spectrum f^-beta falls as f^(1 - beta)
    assert slope == pytest.approx(1 - 2.6, abs=0.25)


def test_texture_is_the_same_at_every_pixel_size():
    fine, coarse = (power_law_tile(generator(1), spacing_mm=s) for s in (0.1, 0.4))
    blocks = fine.reshape(128, 4, 128, 4).mean((1, 3))
    np.testing.assert_allclose(coarse, blocks, atol=1e-3)
    assert fine.shape[0] == round(TILE_MM / 0.1)


def test_tile_repeats_without_end():
    tile = np.arange(16, dtype=np.float32).reshape(4, 4)
    crop = crop_of_tile(tile, 6, 3, row=2, column=3)
    np.testing.assert_array_equal(crop, np.tile(tile, (3, 3))[2:8, 3:6])


def test_a_tile_has_no_seam():
    tile = power_law_tile(generator(2), spacing_mm=0.4)
    inside = np.abs(np.diff(tile, axis=1)).mean()
    seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
    assert seam < 1.3 * inside


def test_grains_can_be_longer_along_the_rows():
    tile = power_law_tile(generator(2), spacing_mm=0.2, stretch=3.0)
    along, across = (np.diff(tile, axis=axis).std() for axis in (1, 0))
    assert along < 0.7 * across


def test_a_steeper_spectrum_is_smoother():
    steps = [
        np.diff(power_law_tile(generator(2), spacing_mm=0.1, beta=beta), axis=1).std()
        for beta in (2.0, 3.0)
    ]
    assert steps[1] < 0.7 * steps[0]
