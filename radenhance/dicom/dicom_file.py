"""A DICOM file, parsed up to its pixels."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.bounded_file import BoundedFile, InflatedFile
from radenhance.dicom.limits import MAX_HEADER_BYTES
from radenhance.errors import NoRadiographError, RadenhanceError, RadiographError

PREFIX_OFFSET = 128
PREFIX = b"DICM"
START_BYTES = PREFIX_OFFSET + len(PREFIX)
"""Bytes of the start of a file that `looks_like_dicom` looks at."""
UNDEFINED_LENGTH = 0xFFFFFFFF

_PIXEL_DATA_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double float, integer
_VALUE_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR "
    b"US UT UV".split()
)


@dataclass(frozen=True)
class PixelElement:
    """The place of the pixel data in a file.

    Args:
        tag: (7FE0,0010), or one of its floating-point relatives.
        vr: Value representation, None in implicit VR.
        length: Declared number of bytes of the value; 0xFFFFFFFF means "until the delimiter".
        offset: Position of the value's first byte in `DicomFile.file`.
    """

    tag: int
    vr: str | None
    length: int
    offset: int


@dataclass(frozen=True)
class DicomFile:
    """A parsed header, and the file from which the pixels are still to be read.

    Args:
        attributes: All elements before the pixel data.
        header: The same, and the file meta information, as pydicom has them.
        syntax: The transfer syntax, declared or, without file meta information, recognized.
        file: The open file, inflated where it is deflated.
        pixel_element: The place of the pixel data; None when the file has none.
    """

    attributes: Attributes
    header: Dataset
    syntax: UID
    file: BoundedFile
    pixel_element: PixelElement | None

    @property
    def num_pixel_bytes(self) -> int:
        """Bytes of the pixel data; about, where they are compressed."""
        if self.pixel_element is None:
            return 0
        if self.pixel_element.length != UNDEFINED_LENGTH:
            return self.pixel_element.length
        return max((self.file.size or 0) - self.pixel_element.offset, 0)


def looks_like_dicom(start: bytes) -> bool:
    """Return whether a file that starts with these 132 bytes is DICOM.

    A file without preamble starts with an element of group 0002 or 0008 that has a known value
    representation, or else (implicit VR) a short length.
    """
    if start[PREFIX_OFFSET : PREFIX_OFFSET + 4] == PREFIX:
        return True
    if start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08") or len(start) < 8:
        return False
    explicit = start[4:6] in _VALUE_REPRESENTATIONS
    (length,) = struct.unpack("<L", start[4:8])
    return explicit or (start[0] == 8 and length < 1024)


def parse(path: Path, raw: BinaryIO) -> DicomFile:
    """Read the header of an open DICOM file.

    Args:
        path: The file's name, for error messages.
        raw: The open file, at any position; it must stay open until the pixels are read.

    Raises:
        RadiographError: The file is not DICOM, or its header is damaged.
    """
    size = raw.seek(0, 2)
    raw.seek(0)
    file = BoundedFile(raw, path=path, size=size, allowance=MAX_HEADER_BYTES)
    try:
        return _parse(path, raw, file)
    except (RadenhanceError, OSError):
        raise
    except Exception as error:
        # pydicom and zlib raise whatever malformed bytes provoke: see attributes.py.
        raise RadiographError(f"{path}: the DICOM header is damaged") from error


def _parse(path: Path, raw: BinaryIO, file: BoundedFile) -> DicomFile:
    source = cast(BinaryIO, file)  # pydicom uses no more of it than read, seek, tell and name
    read_preamble(source, force=True)
    meta = read_dataset(source, False, True, stop_when=_after_meta_information)
    syntax = UID(str(meta.get("TransferSyntaxUID") or _recognized_syntax(file)))
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = InflatedFile(raw)
        file = BoundedFile(inflated, path=path, size=None, allowance=MAX_HEADER_BYTES)
        source = cast(BinaryIO, file)
    elements: list[PixelElement] = []

    def at_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag in _PIXEL_DATA_TAGS:
            elements.append(PixelElement(int(tag), vr, length, source.tell()))
        return bool(elements)

    dataset = read_dataset(
        source,
        syntax == ImplicitVRLittleEndian,
        syntax != ExplicitVRBigEndian,
        stop_when=at_pixel_data,
    )
    _check_is_image(path, dataset)
    attributes = Attributes(dataset, path, big_endian=syntax == ExplicitVRBigEndian)
    dataset.file_meta = FileMetaDataset(meta)
    dataset.file_meta.TransferSyntaxUID = syntax
    return DicomFile(attributes, dataset, syntax, file, elements[-1] if elements else None)


def _after_meta_information(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _recognized_syntax(file: BoundedFile) -> UID:
    # PS3.5 7.1.2: the value representation is two capital letters. Without meta information the
    # data are not compressed, so that these three are all that it can be.
    start = file.tell()
    head = file.read(6)
    file.seek(start)
    if head[4:6] not in _VALUE_REPRESENTATIONS:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if head[:1] == b"\0" else ExplicitVRLittleEndian


def _check_is_image(path: Path, dataset: Dataset) -> None:
    if dataset.get("DirectoryRecordSequence") is not None:
        raise NoRadiographError(
            f"{path}: this is a DICOMDIR, a list of files, and no image; name the folder it lies in"
        )
    if "SOPClassUID" not in dataset:
        raise RadiographError(
            f"{path}: (0008,0016) SOP Class UID is missing; this is no DICOM image, or its "
            "header is damaged"
        )
