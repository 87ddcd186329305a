"""PNG, TIFF and NPY files of one grayscale image.

They say nothing about X-rays: by the formats' own convention high values are bright, and the bits
are those of the container, unless the user declares otherwise.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from radenhance.dicom.limits import MAX_IMAGE_FILE_BYTES, check_size
from radenhance.errors import NoRadiographError, RadenhanceError, RadiographError

_PNG_BITS_AND_COLOR = slice(24, 26)  # in IHDR, which comes first: ISO/IEC 15948 11.2.2
_GRAY = 0
_PNG_COLORS = {  # table 11.1
    0: "of gray",
    2: "of colour",
    3: "with a palette",
    4: "of gray with transparency",
    6: "of colour with transparency",
}

# TIFF 6.0 tags and values.
_BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 277, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_GRAYS = (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
_LOSSLESS = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
_COMPRESSIONS = sorted(set(_LOSSLESS.values()))
_OTHER_COMPRESSIONS = {
    **dict.fromkeys((2, 3, 4), "fax"),
    **dict.fromkeys((6, 7), "JPEG"),
    34712: "JPEG 2000",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
_SAMPLE_FORMATS = {(1,): "unsigned", (2,): "signed", (3,): "floating-point", (4,): "untyped"}
_BIG_TIFF = b"II+\0"  # Pillow reads none of big endian

# Deflate makes at most 1032 bytes of one, LZW less than 1400.
_MAX_INFLATION = 1400


@dataclass(frozen=True)
class StoredImage:
    """The content of an image file.

    Args:
        values: The values as stored, uint16, shape (rows, columns).
        bits: Bits of the container, 8 or 16.
        white_is_zero: Whether low values are bright, as TIFF may declare.
    """

    values: npt.NDArray[np.uint16]
    bits: int
    white_is_zero: bool = False


def image_format(start: bytes) -> str | None:
    """Return PNG, TIFF, NPY or None, by the first bytes of a file."""
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    return None


def read_image(path: Path, file: BinaryIO, kind: str) -> StoredImage:
    """Read an open image file.

    Args:
        path: The file's name, for error messages.
        file: The open file, at any position.
        kind: The format, as `image_format` returns it.

    Raises:
        RadiographError: The file is damaged, too large, in colour, or not of 8 or 16 bits.
    """
    size = file.seek(0, 2)
    file.seek(0)
    if size > MAX_IMAGE_FILE_BYTES:
        raise RadiographError(
            f"{path}: the file has {size} bytes, expected at most {MAX_IMAGE_FILE_BYTES}"
        )
    data = file.read()
    try:
        return _READERS[kind](path, data)
    except RadenhanceError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit is 179 million pixels
        raise RadiographError(f"{path}: {error}") from error
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and others on damaged files.
        raise RadiographError(f"{path}: the {kind} file is damaged") from error


def image_shape(path: Path, file: BinaryIO, kind: str) -> tuple[int, int]:
    """Return the rows and columns that an open image file says it has.

    Args:
        path: The file's name, for error messages.
        file: The open file, at any position.
        kind: The format, as `image_format` returns it.

    Raises:
        RadiographError: The file is damaged or too large.
    """
    file.seek(0)
    try:
        if kind == "NPY":
            rows, columns = _NPY_HEADERS[np.lib.format.read_magic(file)](file)[0]
        else:
            with Image.open(file, formats=[kind]) as image:
                rows, columns = image.height, image.width
    except Exception as error:  # as in `read_image`
        raise RadiographError(f"{path}: the {kind} file is damaged") from error
    check_size(path, rows, columns)
    return rows, columns


def _read_png(path: Path, data: bytes) -> StoredImage:
    bits, color = data[_PNG_BITS_AND_COLOR]
    if color != _GRAY or bits not in (8, 16):
        raise NoRadiographError(
            f"{path}: the PNG file has {bits} bits {_PNG_COLORS.get(color, 'of an unknown kind')}, "
            "expected 8 or 16 bits of gray alone; where nothing is lost by it, convert it: magick "
            "in.png -alpha off -colorspace gray -define png:color-type=0 out.png"
        )
    columns, rows = struct.unpack(">2L", data[16:24])
    _check_room(path, rows, columns, bits, len(data), inflation=_MAX_INFLATION)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return StoredImage(_pixels(path, image), bits)


def _read_tiff(path: Path, data: bytes) -> StoredImage:
    # Pillow opens no file whose kind of pixels it does not know, and does not say which that is.
    tags = _first_directory(data)
    bits, photometric = _check_tiff(path, tags)
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
        num_images = getattr(image, "n_frames", 1)
        if num_images != 1:
            raise NoRadiographError(
                f"{path}: the TIFF file has {num_images} images, expected one; split it: tiffsplit"
            )
        inflation = 1 if tags.get(_COMPRESSION, 1) == 1 else _MAX_INFLATION
        _check_room(path, image.height, image.width, bits, len(data), inflation=inflation)
        values = _pixels(path, image)
    white_is_zero = photometric == _WHITE_IS_ZERO
    if white_is_zero and bits == 8:
        values ^= np.uint16(255)  # Pillow has complemented these, but not those of 16 bits
    return StoredImage(values, bits, white_is_zero=white_is_zero)


def _first_directory(data: bytes) -> Any:
    file = io.BytesIO(data)
    directory = ImageFileDirectory_v2(file.read(16 if data.startswith(_BIG_TIFF) else 8))
    file.seek(directory.next)
    directory.load(file)
    return directory


def _check_tiff(path: Path, tags: Any) -> tuple[int, int]:
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    photometric = tags.get(_PHOTOMETRIC)
    samples = _SAMPLE_FORMATS.get(tags.get(_SAMPLE_FORMAT, (1,)), "of another kind")
    compression = tags.get(_COMPRESSION, 1)
    expected = (
        (
            tags.get(_SAMPLES_PER_PIXEL, 1) == 1 or photometric not in _GRAYS,
            "is transparent, expected gray alone; convert it: magick in.tif -alpha off out.tif",
        ),
        (
            photometric in _GRAYS,
            "is in colour, expected grayscale; a screenshot or a scan holds no X-ray intensities",
        ),
        (
            bits in ((8,), (16,)) and samples == "unsigned",
            f"has {samples} samples of {' and '.join(map(str, bits))} bits, expected unsigned ones "
            "of 8 or 16; scale it to 16 bits and write it anew, for example with tifffile",
        ),
        (
            compression in _LOSSLESS,
            f"is compressed as {_OTHER_COMPRESSIONS.get(compression, f'method {compression}')}, "
            f"expected {', '.join(_COMPRESSIONS)}; write it anew without compression: tiffcp -c "
            "none",
        ),
    )
    for good, complaint in expected:
        if not good:
            raise NoRadiographError(f"{path}: the TIFF file {complaint}")
    return bits[0], photometric


def _pixels(path: Path, image: Image.Image) -> npt.NDArray[np.uint16]:
    if image.mode not in ("L", "I;16", "I;16B"):
        raise RadiographError(f"{path}: pixels are of type {image.mode}, expected grayscale")
    return np.asarray(image).astype(np.uint16)


def _read_npy(path: Path, data: bytes) -> StoredImage:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise RadiographError(f"{path}: NPY version {version}, expected 1.0 or 2.0")
    shape, fortran_order, dtype = _NPY_HEADERS[version](file)
    if dtype.kind != "u" or dtype.itemsize not in (1, 2) or len(shape) != 2:
        raise RadiographError(
            f"{path}: array of {dtype} and shape {shape}, expected uint8 or uint16 of shape "
            "(rows, columns); scale it to these and write it anew with numpy.save"
        )
    rows, columns = shape
    check_size(path, rows, columns)
    expected, there = rows * columns * dtype.itemsize, len(data) - file.tell()
    if there != expected:
        raise RadiographError(f"{path}: {there} bytes of pixels, expected {expected} for {shape}")
    flat = np.frombuffer(data, dtype, offset=file.tell())
    values = flat.reshape(shape, order="F" if fortran_order else "C")
    return StoredImage(values.astype(np.uint16, order="C"), 8 * dtype.itemsize)


def _check_room(
    path: Path, rows: int, columns: int, bits: int, num_bytes: int, *, inflation: int
) -> None:
    check_size(path, rows, columns)
    if rows * columns * bits // 8 > inflation * num_bytes:
        raise RadiographError(
            f"{path}: {rows} x {columns} pixels of {bits} bits cannot be in {num_bytes} bytes; the "
            "file is damaged or cut off"
        )


_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    _BIG_TIFF: "TIFF",
    b"\x93NUMPY": "NPY",
}
_READERS: dict[str, Callable[[Path, bytes], StoredImage]] = {
    "PNG": _read_png,
    "TIFF": _read_tiff,
    "NPY": _read_npy,
}
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
