import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from saved_files import allocating_few_bytes

from radenhance.dicom.read import Declaration, read
from radenhance.errors import NoRadiographError, RadiographError

VALUES = np.arange(5 * 7, dtype=np.uint16).reshape(5, 7) * 1800
TIFF_PHOTOMETRIC = 262


def write(data, name="image.dat"):
    """A suffix that says nothing: content decides."""
    with open(name, "wb") as file:
        file.write(data)
    return name


def encoded(pixels, kind, **options):
    file = io.BytesIO()
    if kind == "NPY":
        np.save(file, pixels)
    else:
        Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png_header(columns, rows, bits=16, color=0):
    chunk = b"IHDR" + struct.pack(">2L5B", columns, rows, bits, color, 0, 0, 0)
    length = struct.pack(">L", len(chunk) - 4)
    return b"\x89PNG\r\n\x1a\n" + length + chunk + struct.pack(">L", zlib.crc32(chunk))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "NPY"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_image_is_read_as_it_is(kind, dtype):
    pixels = (VALUES >> (8 if dtype == np.uint8 else 0)).astype(dtype)
    radiograph = read(write(encoded(pixels, kind)))
    assert np.array_equal(radiograph.pixels, pixels)
    assert radiograph.bits == 8 * pixels.itemsize
    assert (radiograph.relationship, radiograph.valid, radiograph.spacing_mm) == ("LOG", None, None)
    assert radiograph.pixels.flags.writeable


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_losslessly_compressed_tiff_is_read(compression, dtype):
    pixels = (VALUES >> (8 if dtype == np.uint8 else 0)).astype(dtype)
    data = encoded(pixels, "TIFF", compression=compression)
    assert np.array_equal(read(write(data)).pixels, pixels)


def test_big_endian_files_are_read():
    big = VALUES.astype(">u2")
    assert np.array_equal(read(write(encoded(big, "NPY"))).pixels, VALUES)
    tags = [
        (256, 7),
        (257, 5),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, 5),
        (279, 70),
    ]
    assert np.array_equal(read(write(tiff(tags, big.tobytes(), ">"))).pixels, VALUES)


def tiff(tags, data, order="<"):
    """A TIFF of 9 short tags, whose data start at byte 122."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}LH", 8, len(tags))
    for tag, value in tags:
        head += struct.pack(f"{order}HHLHH", tag, 3, 1, value, 0)
    return head + bytes(4) + data


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero_is_complemented_once(bits):
    pixels = (VALUES >> (16 - bits)).astype(f"<u{bits // 8}")
    tags = [
        (256, 7),
        (257, 5),
        (258, bits),
        (259, 1),
        (262, 0),
        (273, 122),
        (277, 1),
        (278, 5),
        (279, pixels.nbytes),
    ]
    path = write(tiff(tags, pixels.tobytes()))
    assert np.array_equal(read(path).pixels, 2**bits - 1 - pixels)
    # The declaration speaks of stored values.
    assert np.array_equal(read(path, declaration=Declaration(bone="bright")).pixels, pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_big_tiff_is_read(bits):
    pixels = (VALUES >> (16 - bits)).astype(f"<u{bits // 8}")
    short = {256: 7, 257: 5, 258: bits, 259: 1, 262: 1, 277: 1, 278: 5}
    tags = {**short, 273: 24 + 20 * 9 + 8, 279: pixels.nbytes}
    data = b"II" + struct.pack("<3HQQ", 43, 8, 0, 16, len(tags))
    for tag, value in sorted(tags.items()):
        data += struct.pack("<HHQHHL", tag, 3, 1, value, 0, 0)
    path = write(data + bytes(8) + pixels.tobytes())
    assert np.array_equal(read(path).pixels, pixels)


SAMPLES_OF = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "untyped"}


@pytest.mark.parametrize("sample_format", SAMPLES_OF)
@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 14, 16, 24, 32, 64])
def test_an_intact_tiff_of_other_samples_is_not_called_damaged(bits, sample_format):
    if sample_format == 1 and bits in (8, 16):
        return
    num_bytes = 5 * -(-7 * bits // 8)
    tags = [(256, 7), (257, 5), (258, bits), (259, 1), (262, 1), (273, 122), (278, 5)]
    path = write(tiff([*tags, (279, num_bytes), (339, sample_format)], bytes(num_bytes)))
    message = f"has {SAMPLES_OF[sample_format]} samples of {bits} bits, expected unsigned ones of 8"
    with pytest.raises(NoRadiographError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("method", "called"),
    [
        *((method, "fax") for method in (2, 3, 4)),
        *((method, "JPEG") for method in (6, 7)),
        *((34676, "method 34676"), (34712, "JPEG 2000"), (34925, "LZMA")),
        *((50000, "Zstandard"), (50001, "WebP")),
    ],
)
def test_an_intact_tiff_of_other_compression_is_not_called_damaged(method, called):
    tags = [(256, 7), (257, 5), (258, 8), (259, method), (262, 1), (273, 122), (277, 1), (278, 5)]
    path = write(tiff([*tags, (279, 35)], bytes(35)))
    with pytest.raises(NoRadiographError, match=f"compressed as {called}, expected LZW.*tiffcp"):
        read(path)


def test_fortran_order_is_read():
    assert np.array_equal(read(write(encoded(np.asfortranarray(VALUES), "NPY"))).pixels, VALUES)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "NPY"])
def test_declaration_declares_polarity_bits_and_relationship(kind):
    path = write(encoded(VALUES >> 4, kind))
    radiograph = read(path, declaration=Declaration(bone="dark", bits=12, relationship="LIN"))
    assert (radiograph.bits, radiograph.relationship) == (12, "LIN")
    assert np.array_equal(radiograph.pixels, 4095 - (VALUES >> 4))


def test_value_above_the_declared_bits_names_both():
    path = write(encoded(VALUES, "PNG"))
    with pytest.raises(RadiographError, match="largest pixel is 61200, but 15 bits are declared"):
        read(path, declaration=Declaration(bits=15))


def test_declaration_of_more_bits_than_the_file_has_is_refused():
    path = write(encoded((VALUES >> 8).astype(np.uint8), "PNG"))
    with pytest.raises(RadiographError, match="12 bits are declared.*stored in 8"):
        read(path, declaration=Declaration(bits=12))


@pytest.mark.parametrize(
    ("kind", "mode", "told"),
    [
        ("PNG", "RGB", "8 bits of colour, .*magick in.png"),
        ("PNG", "RGBA", "8 bits of colour with transparency, .*magick in.png"),
        ("PNG", "P", "8 bits with a palette, .*magick in.png"),
        ("PNG", "LA", "8 bits of gray with transparency, .*magick in.png -alpha off"),
        ("PNG", "1", "1 bits of gray, expected 8 or 16"),
        ("TIFF", "RGB", "is in colour, expected grayscale"),
        ("TIFF", "P", "is in colour, expected grayscale"),
        ("TIFF", "LA", "is transparent, .*magick in.tif -alpha off"),
        ("TIFF", "1", "unsigned samples of 1 bits"),
        ("TIFF", "F", "floating-point samples of 32 bits"),
        ("TIFF", "I", "signed samples of 32 bits"),
    ],
)
def test_other_kinds_of_pixels_are_refused_in_words_with_the_tool_that_converts_them(
    kind, mode, told
):
    file = io.BytesIO()
    Image.fromarray((VALUES >> 8).astype(np.uint8)).convert(mode).save(file, kind)
    with pytest.raises(RadiographError, match=told):
        read(write(file.getvalue()))


def test_two_pages_are_refused_with_the_tool_that_splits_them():
    gray = Image.fromarray((VALUES >> 8).astype(np.uint8))
    file = io.BytesIO()
    gray.save(file, "TIFF", save_all=True, append_images=[gray])
    with pytest.raises(RadiographError, match="has 2 images, expected one; split it: tiffsplit"):
        read(write(file.getvalue()))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), np.int16),
        np.zeros((4, 4), np.uint32),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros(4, np.uint16),
        np.zeros((0, 4), np.uint16),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(RadiographError, match="expected"):
        read(write(encoded(array, "NPY")))


def test_pickled_objects_are_never_loaded():
    file = io.BytesIO()
    np.save(file, np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(RadiographError, match="array of object"):
        read(write(file.getvalue()))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "NPY"])
def test_file_cut_off_is_refused(kind):
    data = encoded(VALUES, kind)
    # The last 20 bytes of a PNG are checksums and end mark, but no pixels.
    for missing in (24, 30, len(data) - 60):
        with pytest.raises(RadiographError, match=r"image\.dat"):
            read(write(data[:-missing]))


def test_array_of_other_length_than_its_shape_is_refused():
    with pytest.raises(RadiographError, match="72 bytes of pixels, expected 70"):
        read(write(encoded(VALUES, "NPY") + b"\0\0"))


@pytest.mark.parametrize(
    "data",
    [
        png_header(60000, 60000),
        png_header(20000, 20000),
        png_header(10000, 10000) + bytes(1000),
        tiff(
            [
                (256, 60000),
                (257, 60000),
                (258, 16),
                (259, 1),
                (262, 1),
                (273, 122),
                (277, 1),
                (278, 60000),
                (279, 70),
            ],
            bytes(70),
        ),
        tiff(
            [
                (256, 9000),
                (257, 9000),
                (258, 16),
                (259, 8),
                (262, 1),
                (273, 122),
                (277, 1),
                (278, 9000),
                (279, 70),
            ],
            bytes(70),
        ),
        encoded(VALUES, "NPY").replace(b"(5, 7), ", b"(9999999, 9999999), "),
    ],
)
def test_absurd_size_is_refused_before_anything_is_allocated(data):
    path = write(data)
    with allocating_few_bytes(), pytest.raises(RadiographError, match=r"image\.dat"):
        read(path)
