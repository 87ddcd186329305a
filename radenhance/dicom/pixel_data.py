"""Stored values of a DICOM image, from its Pixel Data.

    Pixel Data      BitsAllocated per pixel, 8 or 16, native or compressed
       | containers()
    containers      uint16, as they are in the file
       | stored_values(): the BitsStored bits up to HighBit; the others are not image
    stored values   uint16 in [0, 2**BitsStored - 1], in the order of the pixel values

Signed pixel values are moved up by 2**(BitsStored - 1), which keeps their order: flipping the sign
bit of a two's complement number does just that.
"""

import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from radenhance.dicom.codecs import decode_frame, find_decoder
from radenhance.dicom.dicom_file import UNDEFINED_LENGTH, DicomFile, PixelElement
from radenhance.dicom.encapsulation import read_frame
from radenhance.dicom.pixel_format import PixelFormat
from radenhance.errors import RadiographError

Stored = npt.NDArray[np.uint16]

_NATIVE = {
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
}
_PIXEL_DATA = 0x7FE00010
_TELLING = 16
"""Line feeds that chance does not put behind as many carriage returns."""


def containers(dicom: DicomFile, layout: PixelFormat) -> Stored:
    """Read and, where necessary, decompress the pixel data.

    Args:
        dicom: The file, its header parsed.
        layout: The pixel format that the header declares.

    Returns:
        The containers, uint16, shape (rows, columns); the array may be read-only.

    Raises:
        RadiographError: There are none, too few or too many bytes, or they cannot be decoded.
    """
    element = dicom.pixel_element
    if element is None:
        raise dicom.attributes.error("PixelData", "is missing; the file ends before any pixels")
    if element.tag != _PIXEL_DATA:
        raise RadiographError(
            f"{dicom.attributes.path}: pixels are floating point, expected whole numbers in "
            "(7FE0,0010) Pixel Data"
        )
    native = dicom.syntax in _NATIVE
    path = dicom.attributes.path
    decoder = None if native else find_decoder(dicom.syntax, layout, path)
    if native == (element.length == UNDEFINED_LENGTH):
        kind = "undefined" if native else "defined"
        raise dicom.attributes.error(
            "PixelData", f"has {kind} length, which {dicom.syntax.name} does not allow"
        )
    dicom.file.seek(element.offset)
    if decoder is None:
        return _native(dicom, element, layout)
    return decode_frame(read_frame(dicom, layout.num_bytes), decoder, layout, path)


def stored_values(container: Stored, layout: PixelFormat) -> Stored:
    """Return the stored values of containers, in the order of the pixel values.

    Args:
        container: The containers, uint16, shape (rows, columns).
        layout: The pixel format, which says which bits are the pixel's.

    Returns:
        The stored values, uint16, shape (rows, columns), in [0, 2**stored - 1]; a new array.
    """
    unused = layout.high_bit + 1 - layout.stored
    mask = np.uint16((1 << layout.stored) - 1)
    values = (container >> np.uint16(unused) if unused else container) & mask
    if layout.signed:
        values ^= np.uint16(layout.offset)
    return values


def _native(dicom: DicomFile, element: PixelElement, layout: PixelFormat) -> Stored:
    expected = layout.num_bytes
    even = expected + expected % 2
    if element.length not in (expected, even):
        raise dicom.attributes.error(
            "PixelData",
            f"has {element.length} bytes, expected {even} for {layout.rows} rows, "
            f"{layout.columns} columns and {layout.allocated} bits",
        )
    dicom.file.allow(even)
    data = dicom.file.read(element.length)
    if len(data) < element.length:
        raise dicom.attributes.error(
            "PixelData", f"is cut off after {len(data)} of {element.length} bytes"
        )
    _check_is_binary(dicom, element, data)
    big_endian = dicom.syntax == ExplicitVRBigEndian
    shape = layout.rows, layout.columns
    if layout.allocated == 16:
        words = np.frombuffer(data, ">u2" if big_endian else "<u2", count=expected // 2)
        return words.reshape(shape).astype(np.uint16, copy=False)
    samples = np.frombuffer(data, np.uint8)
    if big_endian and element.vr == "OW":  # PS3.5 A.3: bytes come in swapped pairs
        samples = samples[: even // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    return samples[:expected].reshape(shape).astype(np.uint16)


def _check_is_binary(dicom: DicomFile, element: PixelElement, data: bytes) -> None:
    """Refuse pixels that were sent as text, by FTP say: each line feed got a carriage return."""
    line_feeds = data.count(b"\n")
    behind = (dicom.file.size or 0) - element.offset - element.length
    if _TELLING <= line_feeds <= behind and data.count(b"\r\n") == line_feeds:
        raise dicom.attributes.error(
            "PixelData",
            f"has {line_feeds} line feeds, each behind a carriage return: the file was sent as "
            "text; send it again, in binary mode",
        )
