import numpy as np
import pytest

from radenhance.dicom.integer_pixels import integer_pixels
from radenhance.errors import ParameterError, UsageError


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unit_values_become_the_nearest_whole_numbers(bits, dtype):
    unit = np.random.default_rng(bits).uniform(0, 1, (30, 20)).astype(dtype)
    unit[0, :2] = 0, 1
    pixels = integer_pixels(unit, bits)
    assert pixels.dtype == np.uint16
    assert (pixels[0, 0], pixels[0, 1]) == (0, 2**bits - 1)
    assert np.abs(pixels - unit.astype(np.float64) * (2**bits - 1)).max() <= 0.51


@pytest.mark.parametrize("bits", range(8, 17))
def test_whole_numbers_of_the_bits_stay_as_they_are(bits):
    pixels = np.arange(2**bits, dtype=np.uint16).reshape(16, -1)
    assert np.array_equal(integer_pixels(pixels, bits), pixels)
    if bits < 16:
        with pytest.raises(UsageError, match=f"expected values from 0 to {2**bits - 1}"):
            integer_pixels(pixels + 1, bits)


@pytest.mark.parametrize("wrong", [-1e-3, 1.001, np.nan, np.inf])
def test_a_value_out_of_range_is_refused_and_never_clipped(wrong):
    unit = np.full((4, 4), 0.5, np.float32)
    unit[2, 1] = wrong
    with pytest.raises(UsageError, match="expected values from 0 to 1 and no NaN"):
        integer_pixels(unit, 12)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 2), np.int32), "are int32, expected floating point or uint16"),
        (np.zeros((2, 2, 1), np.float32), r"expected \(rows, columns\)"),
        (np.zeros((0, 5), np.float32), r"expected \(rows, columns\)"),
    ],
)
def test_what_is_no_image_is_refused(pixels, message):
    with pytest.raises(UsageError, match=message):
        integer_pixels(pixels, 12)


@pytest.mark.parametrize("bits", [7, 17])
def test_bits_that_no_viewer_expects_are_refused(bits):
    with pytest.raises(ParameterError, match=f"bits is {bits}, expected 8 to 16"):
        integer_pixels(np.zeros((2, 2), np.float32), bits)
