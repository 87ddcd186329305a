import io
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    MPEG2MPML,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from saved_files import COMPRESSED, SAMPLES, crop, save

from radenhance.dicom import codestream, jpeg12
from radenhance.dicom.attributes import Attributes
from radenhance.dicom.codecs import CODECS, decode_frame, find_decoder
from radenhance.dicom.pixel_data import stored_values
from radenhance.dicom.pixel_format import PixelFormat, pixel_format
from radenhance.dicom.read import read
from radenhance.errors import RadiographError


def frame_of(path):
    return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)


def with_frame(dataset, *fragments, syntax, path="a.dcm"):
    """A file with these compressed bytes for pixel data."""
    dataset.PixelData = b"\xfe\xff\x00\xe0" + bytes(4)  # an empty Basic Offset Table
    for fragment in fragments:
        padded = fragment + b"\0" * (len(fragment) % 2)
        dataset.PixelData += b"\xfe\xff\x00\xe0" + struct.pack("<L", len(padded)) + padded
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    return path


@pytest.fixture
def jpeg(digital_xray):
    """A baseline JPEG of 8 bits, and what it decodes to."""
    gray = Image.fromarray(np.arange(0, 24 * 32 // 3, dtype=np.uint8).repeat(3).reshape(24, 32))
    file = io.BytesIO()
    gray.save(file, "JPEG")
    digital_xray.BitsAllocated = digital_xray.BitsStored = 8
    digital_xray.HighBit = 7
    digital_xray.PixelIntensityRelationshipSign = -1
    return digital_xray, file.getvalue(), np.asarray(Image.open(file))


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
def test_jpeg_of_8_bits_is_read(syntax, jpeg):
    dataset, stream, pixels = jpeg
    assert np.array_equal(read(with_frame(dataset, stream, syntax=syntax)).pixels, pixels)


def test_frame_in_several_fragments_is_one(jpeg):
    dataset, stream, pixels = jpeg
    path = with_frame(dataset, stream[:100], stream[100:300], stream[300:], syntax=JPEGBaseline8Bit)
    assert np.array_equal(read(path).pixels, pixels)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("signed", [False, True])
def test_jpeg_of_12_bits_is_read(bits, signed, digital_xray):
    imagecodecs = pytest.importorskip("imagecodecs")
    ramp = np.linspace(0, 2**bits - 1, 24 * 32).reshape(24, 32).astype(np.uint16)
    digital_xray.BitsStored, digital_xray.HighBit = bits, bits - 1
    digital_xray.PixelIntensityRelationshipSign = -1
    stream = imagecodecs.jpeg8_encode(ramp, level=99, bitspersample=12)
    path = with_frame(digital_xray, stream, syntax=JPEGExtended12Bit)
    assert np.abs(read(path).pixels.astype(int) - ramp).max() <= 2


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("shape", [(24, 32), (33, 47), (70, 130)])
def test_htj2k_that_openjph_made_is_read(syntax, bits, shape, digital_xray):
    imagecodecs = pytest.importorskip("imagecodecs")
    values = np.random.default_rng(bits).integers(0, 2**bits, shape)
    pixels = values.astype(np.uint8 if bits == 8 else np.uint16)
    digital_xray.Rows, digital_xray.Columns = shape
    digital_xray.BitsAllocated = 8 * pixels.itemsize
    digital_xray.BitsStored, digital_xray.HighBit = bits, bits - 1
    digital_xray.PixelIntensityRelationshipSign = -1
    stream = imagecodecs.htj2k_encode(pixels, reversible=True)
    assert np.array_equal(read(with_frame(digital_xray, stream, syntax=syntax)).pixels, pixels)


def test_jpeg_of_12_bits_says_what_to_install(digital_xray, monkeypatch):
    monkeypatch.delitem(get_decoder(JPEGExtended12Bit)._available, jpeg12.NAME, raising=False)
    with pytest.raises(RadiographError, match="JPEG Extended.* of 12 bits.* 'radenhance.jpeg12"):
        read(with_frame(digital_xray, b"\xff\xd8", syntax=JPEGExtended12Bit))


@pytest.mark.parametrize("syntax", [MPEG2MPML, UID("1.2.3.4")])
def test_syntax_without_codec_is_refused_by_name(syntax, digital_xray):
    message = rf"\(0002,0010\) Transfer Syntax UID is {syntax.name.split('/')[0]}.*is not read"
    with pytest.raises(RadiographError, match=message):
        read(with_frame(digital_xray, b"\xff\xd8", syntax=syntax))


@pytest.mark.parametrize("syntax", CODECS, ids=lambda syntax: syntax.keyword)
def test_missing_decoder_says_what_to_install(syntax, digital_xray, monkeypatch):
    decoder = get_decoder(syntax)
    monkeypatch.setattr(decoder, "_available", {})
    digital_xray.BitsAllocated = digital_xray.BitsStored = 8
    digital_xray.HighBit = 7
    with pytest.raises(RadiographError, match="no decoder for .* is installed; run: pip install p"):
        read(with_frame(digital_xray, b"\xff\xd8", syntax=syntax))


@pytest.fixture
def without_pyjpegls(monkeypatch):
    """As on Python 3.14, for which there is none."""
    monkeypatch.delitem(get_decoder(JPEGLSLossless)._available, "pyjpegls", raising=False)


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_jpeg_ls_is_read_without_pyjpegls(name, without_pyjpegls):
    expected = read(save(crop(name), "native.dcm")).pixels
    assert np.array_equal(read(save(crop(name), "a.dcm", JPEGLSLossless)).pixels, expected)


@pytest.mark.parametrize("kept", [0, 1, 20, 63, 100, 0.5, 0.99])
def test_jpeg_ls_cut_off_is_refused_without_pyjpegls(kept, without_pyjpegls):
    test_stream_cut_off_is_refused(JPEGLSLossless, kept)


def test_no_codec_needs_a_package_under_the_gpl():
    assert not any("pylibjpeg-libjpeg" in codec.package for codec in CODECS.values())


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda syntax: syntax.keyword)
def test_stream_of_another_size_than_the_header_is_refused(syntax):
    frame = frame_of(save(crop("RG3_UNCR.dcm", size=32), "a.dcm", syntax))
    other = crop("RG3_UNCR.dcm", size=48)
    with pytest.raises(RadiographError, match="damaged"):
        read(with_frame(other, frame, syntax=syntax))


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("kept", [0, 1, 20, 63, 100, 0.5, 0.99])
def test_stream_cut_off_is_refused(syntax, kept):
    frame = frame_of(save(crop("RG1_UNCR.dcm", size=64), "a.dcm", syntax))
    end = int(kept * len(frame)) if isinstance(kept, float) else kept
    with pytest.raises(RadiographError, match=r"Pixel Data"):
        read(with_frame(crop("RG1_UNCR.dcm", size=64), frame[:end], syntax=syntax))


FILLS = (b"\0", b"\xff", b"\x20", b"\xcc", b"\xd9", b"\x20\xcc\xff", b"\xff\xd9", b"\0" * 999)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless])
@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill[:17].hex())
def test_whatever_fills_up_a_stream_behind_its_end_is_allowed(syntax, fill):
    dataset = crop("RG1_UNCR.dcm")
    stored = dataset.pixel_array
    frame = frame_of(save(dataset, "a.dcm", syntax))
    frame = frame[: frame.rindex(b"\xff\xd9") + 2]
    path = with_frame(crop("RG1_UNCR.dcm"), frame + fill, syntax=syntax)
    assert np.array_equal(read(path).pixels, 2**15 - 1 - stored)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless])
@pytest.mark.parametrize("fill", [b"\x20\xcc" * 9, b"\0" * 99 + b"\x01"])
def test_an_end_marker_with_more_data_behind_it_is_refused(syntax, fill):
    frame = frame_of(save(crop("RG1_UNCR.dcm"), "a.dcm", syntax))
    with pytest.raises(RadiographError, match=r"damaged .* code stream: it is cut off"):
        read(with_frame(crop("RG1_UNCR.dcm"), frame + fill, syntax=syntax))


@pytest.mark.parametrize("fill", [b"\0", b"\0\0", b"\0\0\0", b"\xff", b"\0\xff\xff"])
@pytest.mark.parametrize("size", [40, 49, 64])
@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_jpeg_ls_that_is_filled_up_before_its_end_is_read(name, size, fill):
    pytest.importorskip("jpeg_ls")
    dataset = crop(name, size=size)
    stored = dataset.pixel_array
    frame = frame_of(save(dataset, "a.dcm", JPEGLSLossless))
    end = frame.rindex(b"\xff\xd9")
    path = with_frame(dataset, frame[:end] + fill + frame[end:], syntax=JPEGLSLossless)
    assert np.array_equal(read(path).pixels, 2**dataset.BitsStored - 1 - stored)


@pytest.mark.parametrize("lost", [1, 2, 5, 50, 500])
def test_jpeg_ls_that_lost_bytes_before_its_end_is_refused_by_both_decoders(lost):
    frame = frame_of(save(crop("RG1_UNCR.dcm"), "a.dcm", JPEGLSLossless))
    end = frame.rindex(b"\xff\xd9")
    path = with_frame(
        crop("RG1_UNCR.dcm"), frame[: end - lost] + frame[end:], syntax=JPEGLSLossless
    )
    with pytest.raises(RadiographError, match="cannot be decoded by .*: the code stream is damag"):
        read(path)


def test_fragment_longer_than_the_file_is_refused(digital_xray):
    save(digital_xray, "a.dcm", RLELossless)
    data = Path("a.dcm").read_bytes()
    at = data.rindex(b"\xfe\xff\x00\xe0") + 4
    Path("a.dcm").write_bytes(data[:at] + struct.pack("<L", 2**31) + data[at + 4 :])
    with pytest.raises(RadiographError, match=r"a\.dcm"):
        read("a.dcm")


def test_more_compressed_bytes_than_the_image_is_worth_are_refused(digital_xray):
    with pytest.raises(RadiographError, match="more than .* bytes"):
        read(with_frame(digital_xray, bytes(2**18), syntax=RLELossless))


def test_defined_length_under_a_compressed_syntax_is_refused(digital_xray):
    digital_xray.file_meta.TransferSyntaxUID = RLELossless
    digital_xray["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, with_native(digital_xray), implicit_vr=False, little_endian=True)
    data = buffer.getvalue().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    Path("a.dcm").write_bytes(data)
    with pytest.raises(RadiographError, match="has defined length, which RLE Lossless"):
        read("a.dcm")


def with_native(dataset):
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return dataset


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("JPEG-LL.dcm", "gdcm"),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "gdcm"),
        ("bad_sequence.dcm", "gdcm"),
        ("693_J2KR.dcm", "PIL"),
        ("MR2_J2KI.dcm", "PIL"),
        ("emri_small_jpeg_ls_lossless.dcm", "jpeg_ls"),
        ("emri_small_RLE.dcm", "pydicom"),
    ],
)
def test_real_streams_of_other_modalities_pass_the_check(name, module):
    pytest.importorskip(module)
    dataset = pydicom.dcmread(SAMPLES / name)
    frames = int(dataset.get("NumberOfFrames") or 1)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=frames)
    layout = pixel_format(Attributes(dataset, Path(name), big_endian=False))
    decoder = find_decoder(dataset.file_meta.TransferSyntaxUID, layout, Path(name))
    expected = dataset.pixel_array.reshape(-1, layout.rows, layout.columns)[0]
    assert np.array_equal(
        stored_values(decode_frame(frame, decoder, layout, Path(name)), layout),
        expected.astype(int) + layout.offset,
    )


def jpeg_2000_header(rows, columns, *, origin=0, block=4, precinct=None):
    """The start of a JPEG 2000 code stream, as far as the first tile-part."""
    size = struct.pack(">8L", origin + columns, rows, origin, 0, origin + columns, rows, 0, 0)
    size = struct.pack(">HHH", 0xFF51, 41, 0) + size + struct.pack(">H3B", 1, 15, 1, 1)
    style = struct.pack(">BBHB5B", precinct is not None, 0, 1, 0, 0, block, block, 0, 1)
    style += b"" if precinct is None else bytes([precinct])
    style = struct.pack(">HH", 0xFF52, 2 + len(style)) + style
    return b"\xff\x4f" + size + style + b"\xff\xd9"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, None),
        ({"precinct": 0xFF}, None),
        ({"origin": 2**31}, "does not start at its origin"),
        ({"block": 0}, "code-blocks are too many"),
        ({"block": 5}, "code-blocks have no valid size"),
        ({"precinct": 0x11}, "precincts are too many"),
    ],
)
def test_jpeg_2000_that_would_take_gigabytes_of_bookkeeping_is_refused(how, message):
    layout = PixelFormat(10000, 20000, 16, 16, 15, False)
    stream = jpeg_2000_header(10000, 20000, **how)
    if message is None:
        codestream.checked(stream, "JPEG 2000", layout, Path("a"))
    else:
        with pytest.raises(RadiographError, match=message):
            codestream.checked(stream, "JPEG 2000", layout, Path("a"))
