import numpy as np
import pytest

from radenhance.dicom.pixel_data import stored_values
from radenhance.dicom.pixel_format import PixelFormat

FORMATS = [
    (allocated, stored, high_bit)
    for allocated in (8, 16)
    for stored in range(1, allocated + 1)
    for high_bit in range(stored - 1, allocated)
]


def layout(allocated, stored, high_bit, *, signed):
    return PixelFormat(4, 5, allocated, stored, high_bit, signed)


@pytest.mark.parametrize(("allocated", "stored", "high_bit"), FORMATS)
def test_bits_beside_the_pixels_own_change_nothing(allocated, stored, high_bit):
    random = np.random.default_rng(stored)
    values = random.integers(0, 1 << stored, (4, 5)).astype(np.uint16)
    shift = high_bit + 1 - stored
    own = ((1 << stored) - 1) << shift
    noise = random.integers(0, 1 << allocated, (4, 5)).astype(np.uint16) & ~np.uint16(own)
    container = (values << np.uint16(shift)) | noise
    before = container.copy()
    found = stored_values(container, layout(allocated, stored, high_bit, signed=False))
    assert np.array_equal(found, values)
    found[:] = 0
    assert np.array_equal(container, before)


@pytest.mark.parametrize(("allocated", "stored", "high_bit"), FORMATS)
def test_signed_values_keep_their_order(allocated, stored, high_bit):
    least = -(1 << (stored - 1))
    values = np.random.default_rng(stored).integers(least, -least, (4, 5))
    shift = high_bit + 1 - stored
    container = ((values & ((1 << stored) - 1)) << shift).astype(np.uint16)
    signed = layout(allocated, stored, high_bit, signed=True)
    assert np.array_equal(stored_values(container, signed), values - least)
    assert signed.offset == -least
