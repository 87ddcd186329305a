"""Files that hold an enhanced image: DICOM, and PNG and TIFF of 16 bits.

A radiograph cannot be taken again: a file is replaced only if this program wrote it, and only when
the new one lies complete beside it.
"""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from radenhance.dicom.derive import derive
from radenhance.dicom.integer_pixels import integer_pixels
from radenhance.dicom.provenance import MANUFACTURER, written_by_radenhance
from radenhance.errors import RadiographError, UsageError
from radenhance.files import replace_file

__all__ = ["derive", "is_ours", "write", "write_png", "write_tiff"]

_AFTER_PNG_HEADER = 8 + 25  # bytes of signature and IHDR chunk; text may follow (PNG 5.6)
_IMAGE_DESCRIPTION, _SOFTWARE = 270, 305  # TIFF 6.0
_UNCOMPRESSED_IN_NO_LANGUAGE = b"\0\0\0\0\0"  # what iTXt has between keyword and text
_OUR_PNG_TEXT = b"iTXtSoftware" + _UNCOMPRESSED_IN_NO_LANGUAGE + f"{MANUFACTURER} ".encode()


def write(path: str | Path, dataset: Dataset) -> None:
    """Write a derived image as a DICOM file (PS3.10).

    Args:
        path: The file to write. An existing one is replaced only if this program wrote it and it is
            not the source of `dataset`.
        dataset: The derived image, as `derive` returns it.

    Raises:
        UsageError: `path` is the source, or a file that another program wrote.
        RadiographError: An element that was copied from the source is malformed.
        RadenhanceError: The disk is full, or the folder is missing or cannot be written to.
    """
    path = Path(path)
    if path.exists():
        _check_replaceable(path, dataset)
    # In memory first: pydicom loses the error number of a failed write to a file.
    encoded = io.BytesIO()
    try:
        dataset.save_as(encoded, enforce_file_format=True)
    except Exception as error:  # pydicom raises whatever a malformed element provokes
        raise RadiographError(
            f"{path}: an element of the source's header cannot be written; repair it"
        ) from error
    replace_file(path, encoded.getbuffer())


def write_png(
    path: str | Path,
    enhanced: npt.NDArray[np.generic],
    *,
    bits: int = 16,
    description: str = "",
    software_version: str = "",
) -> None:
    """Write an enhanced image as greyscale PNG of 16 bits, where the source is not DICOM.

    Args:
        path: The file to write. An existing one is replaced only if this function wrote it.
        enhanced: The pixels, shape (rows, columns), bone bright; floating point in [0, 1], or
            uint16 in [0, 2**bits - 1].
        bits: Bits per pixel, 8 to 16: the largest value is 2**bits - 1. Viewers expect 16.
        description: The model, its hash and settings; the file has them as text "Description".
        software_version: The version of this program; the file has it as text "Software".

    Raises:
        ParameterError: `bits` is not in 8 to 16.
        UsageError: `path` is a file that another program wrote, or `enhanced` holds values out of
            range.
        RadenhanceError: The disk is full, or the folder is missing or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not _is_our_png(path):
        raise _not_ours(path)
    _, encoded = cv2.imencode(".png", integer_pixels(enhanced, bits))
    png = encoded.tobytes()
    text = _png_text("Software", f"{MANUFACTURER} {software_version}")
    if description:
        text += _png_text("Description", description)
    replace_file(path, png[:_AFTER_PNG_HEADER] + text + png[_AFTER_PNG_HEADER:])


def write_tiff(
    path: str | Path,
    enhanced: npt.NDArray[np.generic],
    *,
    bits: int = 16,
    description: str = "",
    software_version: str = "",
) -> None:
    """Write an enhanced image as greyscale TIFF of 16 bits, compressed by deflate without loss.

    Args:
        path: The file to write. An existing one is replaced only if this function wrote it.
        enhanced: The pixels, as for `write_png`.
        bits: Bits per pixel, as for `write_png`.
        description: The model, its hash and settings; the file has them as (270) ImageDescription.
        software_version: The version of this program; the file has it as (305) Software.

    Raises:
        ParameterError: `bits` is not in 8 to 16.
        UsageError: `path` is a file that another program wrote, or `enhanced` holds values out of
            range.
        RadenhanceError: The disk is full, or the folder is missing or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not _is_our_tiff(path):
        raise _not_ours(path)
    image = Image.fromarray(integer_pixels(enhanced, bits))
    encoded = io.BytesIO()
    tags = {_SOFTWARE: f"{MANUFACTURER} {software_version}", _IMAGE_DESCRIPTION: description}
    image.save(encoded, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
    replace_file(path, encoded.getbuffer())


def is_ours(path: Path) -> bool:
    """Return whether a PNG or TIFF file was written here; of DICOM, see `written_by_radenhance`."""
    return _is_our_png(path) or _is_our_tiff(path)


def _check_replaceable(path: Path, dataset: Dataset) -> None:
    tags = ["SOPInstanceUID", "ContributingEquipmentSequence"]
    try:
        existing = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, IsADirectoryError, EOFError) as error:
        raise _not_ours(path) from error
    sources = [item.ReferencedSOPInstanceUID for item in dataset.get("SourceImageSequence") or []]
    if existing.get("SOPInstanceUID") in sources:
        raise UsageError(
            f"{path} is the source of the image to write; choose another folder or name"
        )
    if not written_by_radenhance(existing):
        raise _not_ours(path)


def _not_ours(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists and was not written by {MANUFACTURER}, so it is not replaced; choose "
        "another folder or name"
    )


def _is_our_png(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        # A chunk is its length (4 bytes), its type, the data and a checksum.
        return _OUR_PNG_TEXT in file.read(_AFTER_PNG_HEADER + 4 + len(_OUR_PNG_TEXT))


def _is_our_tiff(path: Path) -> bool:
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            software = image.tag_v2.get(_SOFTWARE)  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):  # what Pillow makes of it
        return False
    return isinstance(software, str) and software.startswith(f"{MANUFACTURER} ")


def _png_text(keyword: str, text: str) -> bytes:
    body = b"iTXt" + keyword.encode() + _UNCOMPRESSED_IN_NO_LANGUAGE + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
