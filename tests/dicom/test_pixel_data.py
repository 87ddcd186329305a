from pathlib import Path

import numpy as np
import pytest
from vendor_archive import write_image

from radenhance.dicom.pixel_data import stored_values
from radenhance.dicom.pixel_format import PixelFormat
from radenhance.dicom.read import read
from radenhance.errors import RadiographError

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


@pytest.mark.parametrize("bits_stored", [8, 12, 16])
@pytest.mark.parametrize("seed", range(4))
def test_pixels_that_were_sent_as_text_are_refused(bits_stored, seed):
    image = np.random.default_rng(seed).random((128, 128))
    bits = {"BitsStored": bits_stored, "HighBit": bits_stored - 1}
    pixels = (image * (2**bits_stored - 1)).astype("<u2").tobytes()
    write_image("image", image, "FOR PROCESSING", **bits, PixelData=pixels)
    head, data = (Path("image").read_bytes().partition(pixels)[i] for i in (0, 1))
    assert read("image").shape == (128, 128)
    Path("image").write_bytes(head + data.replace(b"\n", b"\r\n"))
    with pytest.raises(RadiographError, match="was sent as text; send it again, in binary mode"):
        read("image")


@pytest.mark.parametrize("behind", [b"", bytes(5000), b"\r\n" * 5000])
def test_pixels_that_look_like_line_feeds_are_read(behind):
    pixels = np.full((64, 64), 0x0A0D, "<u2").tobytes()
    write_image("image", np.zeros((64, 64)), "FOR PROCESSING", PixelData=pixels)
    Path("image").write_bytes(Path("image").read_bytes() + behind[:4000])
    assert (read("image").pixels == 0x0A0D).all()
