import numpy as np
import pytest

from radenhance.reference_enhancer.pyramid import compose, decompose, gaussian, num_levels

SHAPES = [(64, 64), (63, 65), (33, 32), (101, 47), (257, 511)]


@pytest.mark.parametrize("shape", SHAPES)
def test_levels_add_up_to_the_image_in_float64(shape):
    image = np.random.default_rng(0).random(shape)
    restored = compose(decompose(image, num_levels(shape)))
    assert restored.dtype == np.float64
    np.testing.assert_allclose(restored, image, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_levels_add_up_to_the_image_in_float32(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    restored = compose(decompose(image, num_levels(shape)))
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, image, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "num"), [((4188, 4188), 8), ((1024, 768), 5), ((32, 4000), 1), ((31, 31), 0)]
)
def test_residual_keeps_16_samples_along_the_shorter_side(shape, num):
    assert num_levels(shape) == num


def test_odd_sizes_halve_upwards():
    assert [level.shape for level in gaussian(np.zeros((33, 101)), 2)] == [
        (33, 101),
        (17, 51),
        (9, 26),
    ]


def test_constant_image_has_no_detail():
    *details, residual = decompose(np.full((65, 40), 0.25), 1)
    assert max(np.abs(level).max() for level in details) < 1e-15
    np.testing.assert_allclose(residual, 0.25)


def test_fine_stripes_are_in_the_finest_level():
    stripes = np.tile([0.0, 1.0], (64, 32))
    energies = [float((level**2).sum()) for level in decompose(stripes, 2)[:-1]]
    assert energies[0] > 100 * energies[1]
