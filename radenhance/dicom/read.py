"""A radiograph from a DICOM, PNG, TIFF or NPY file.

    file -> stored values -> Modality LUT -> (VOI LUT) -> complement if inverted -> Radiograph

What a value means is declared, never guessed: bit depth and polarity come from the header, else
from the user's declaration, and a file that leaves them open is refused. The chain is made of whole
numbers, so that nothing is lost. docs/reference/reading.md lists what decides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.dicom_file import START_BYTES, DicomFile, looks_like_dicom, parse
from radenhance.dicom.facts import header_facts, pixel_spacing_mm
from radenhance.dicom.image_file import image_format, image_shape, read_image
from radenhance.dicom.modality_lut import ModalityLut, modality_lut
from radenhance.dicom.other_formats import NUM_BYTES, identified
from radenhance.dicom.pixel_data import containers, stored_values
from radenhance.dicom.pixel_format import PixelFormat, pixel_format
from radenhance.dicom.polarity import is_inverted
from radenhance.dicom.projection import check_projection
from radenhance.dicom.radiograph import Header, Radiograph, Relationship
from radenhance.dicom.valid_area import valid_area
from radenhance.dicom.voi import PRESENTATION_BITS, presentation_values
from radenhance.errors import NoRadiographError, RadiographError
from radenhance.folders import why_no_file

__all__ = [
    "Declaration",
    "Source",
    "opened",
    "read",
    "read_header",
    "read_open",
    "read_shape",
    "read_source",
]

_START_BYTES = max(START_BYTES, NUM_BYTES)
_Pixels = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Source:
    """A radiograph, and what an image derived from it inherits.

    Args:
        radiograph: The radiograph.
        header: All elements before the pixels, with the file meta information; None where the file
            is not DICOM.
        num_pixel_bytes: Bytes of the pixels in the file; about, where they are compressed.
    """

    radiograph: Radiograph
    header: Dataset | None = None
    num_pixel_bytes: int = 0


def read(
    path: str | PathLike[str],
    *,
    declaration: Declaration | None = None,
    for_presentation: bool = False,
) -> Radiograph:
    """Read a radiograph, recognized by its content.

    Args:
        path: A DICOM, PNG, TIFF or NPY file, whatever its suffix.
        declaration: What the user declares about files that do not; None declares nothing.
        for_presentation: Whether to apply the VOI LUT or window of a DICOM file, as for targets,
            which are made for the eye. Raw images are read without.

    Returns:
        The radiograph, bone bright. For presentation, `bits` is 16 or that of the VOI LUT, and the
        relationship is LOG.

    Raises:
        RadiographError: The file is not a single grayscale projection image, is damaged or cut off,
            or does not say what its values mean. The message names file and tag.
    """
    return read_source(path, declaration=declaration, for_presentation=for_presentation).radiograph


def read_source(
    path: str | PathLike[str],
    *,
    declaration: Declaration | None = None,
    for_presentation: bool = False,
) -> Source:
    """Read a radiograph as `read` does, with the header that an image derived from it needs.

    Args:
        path: The file, as in `read`.
        declaration: What the user declares, as in `read`.
        for_presentation: As in `read`.

    Raises:
        RadiographError: As in `read`.
    """
    path = Path(path)
    with opened(path) as file:
        return read_open(path, file, declaration=declaration, for_presentation=for_presentation)


def read_open(
    path: Path,
    file: BinaryIO,
    *,
    declaration: Declaration | None = None,
    for_presentation: bool = False,
) -> Source:
    """Read an open file as `read_source` does.

    Args:
        path: The file's name, for error messages.
        file: The open file, at its start.
        declaration: What the user declares, as in `read`.
        for_presentation: As in `read`.

    Raises:
        RadiographError: As in `read`.
    """
    declaration = declaration or Declaration()
    kind = kind_of(path, file)
    if kind == "DICOM":
        dicom = parse(path, file)
        radiograph = _read_dicom(dicom, declaration, for_presentation=for_presentation)
        return Source(radiograph, dicom.header, dicom.num_pixel_bytes)
    image = read_image(path, file, kind)
    bits = _declared_bits(path, image.values, declaration.bits or image.bits, image.bits)
    inverted = image.white_is_zero if declaration.bone is None else declaration.bone == "dark"
    pixels = _complement(image.values, bits) if inverted else image.values
    relationship = "LOG" if for_presentation else declaration.relationship or "LOG"
    return Source(Radiograph(pixels=pixels, bits=bits, relationship=relationship, path=path))


def read_header(path: str | PathLike[str]) -> Header:
    """Read the header of a file, without its pixels.

    Args:
        path: A DICOM, PNG, TIFF or NPY file. Only DICOM has such a header: for the others
            everything in the result is unknown.

    Raises:
        RadiographError: The file is neither DICOM, PNG, TIFF nor NPY, or its header is damaged.
    """
    path = Path(path)
    with opened(path) as file:
        if kind_of(path, file) != "DICOM":
            return Header()
        dicom = parse(path, file)
        return header_facts(dicom.attributes, dicom.syntax)


def read_shape(path: str | PathLike[str]) -> tuple[int, int]:
    """Read the rows and columns of the image in a file, without its pixels.

    Args:
        path: A DICOM, PNG, TIFF or NPY file.

    Raises:
        RadiographError: The file is none of these, or what it says of its image is damaged.
    """
    path = Path(path)
    with opened(path) as file:
        kind = kind_of(path, file)
        if kind != "DICOM":
            return image_shape(path, file, kind)
        layout = pixel_format(parse(path, file).attributes)
        return layout.rows, layout.columns


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file; what the system says against that is a RadiographError.

    A named pipe is none: whoever opens it waits for somebody to write.
    """
    try:
        if path.exists() and (problem := why_no_file(path)):
            raise RadiographError(f"{path}: {problem}")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise RadiographError(f"{path}: {error.strerror or 'the file cannot be read'}") from error


def kind_of(path: Path, file: BinaryIO) -> str:
    """Return the format of an open file: DICOM, PNG, TIFF or NPY.

    Args:
        path: The file's name, for error messages.
        file: The open file, at its start.

    Raises:
        NoRadiographError: It is of another format, which the message names.
        RadiographError: It is empty.
    """
    start = file.read(_START_BYTES)
    # DICOM first: its preamble may begin with the magic number of TIFF (PS3.10 7.1).
    kind = "DICOM" if looks_like_dicom(start) else image_format(start)
    if kind is None:
        if not start:
            raise RadiographError(f"{path}: the file is empty, expected DICOM, PNG, TIFF or NPY")
        name, advice = identified(start)
        raise NoRadiographError(
            f"{path}: the file is {name}, expected DICOM, PNG, TIFF or NPY; {advice}"
        )
    return kind


def _read_dicom(
    dicom: DicomFile, declaration: Declaration, *, for_presentation: bool
) -> Radiograph:
    attributes = dicom.attributes
    path = attributes.path
    check_projection(attributes)
    layout = pixel_format(attributes)
    header = header_facts(attributes, dicom.syntax)
    modality = modality_lut(attributes, signed=layout.signed)
    inverted = is_inverted(
        header, modality, declaration=declaration, for_presentation=for_presentation, path=path
    )
    container = containers(dicom, layout)
    stored = stored_values(container, layout)
    valid = valid_area(attributes, layout, container=container, stored=stored)
    pixels, bits, most = stored, layout.stored, layout.allocated
    if for_presentation or modality.table is not None:
        table, bits = _table(attributes, layout, modality, for_presentation=for_presentation)
        pixels, most = table[stored], PRESENTATION_BITS
    if declaration.override and declaration.bits:
        bits = _declared_bits(path, pixels, declaration.bits, most)
    return Radiograph(
        pixels=_complement(pixels, bits) if inverted else pixels,
        bits=bits,
        relationship="LOG" if for_presentation else _relationship(header, declaration),
        path=path,
        valid=valid,
        spacing_mm=pixel_spacing_mm(attributes),
        header=header,
    )


def _relationship(header: Header, declaration: Declaration) -> Relationship:
    declared = declaration.relationship
    first = declared if declaration.override else None
    return first or header.relationship or declared or "LOG"


def _table(
    attributes: Attributes,
    layout: PixelFormat,
    modality: ModalityLut,
    *,
    for_presentation: bool,
) -> tuple[_Pixels, int]:
    """Return what each stored value is mapped to, and the bits of that: one look-up per pixel."""
    possible = np.arange(1 << layout.stored, dtype=np.float64) - layout.offset
    if for_presentation:
        values = modality(possible)
        if not np.isfinite(values).all():
            raise attributes.error("RescaleSlope", "takes the pixel values beyond all numbers")
        table, bits = presentation_values(attributes, values)
    else:
        assert modality.table is not None
        table, bits = modality.table(possible), modality.table.bits
    return table, bits


def _declared_bits(path: Path, pixels: _Pixels, bits: int, container: int) -> int:
    if bits > container:
        raise RadiographError(
            f"{path}: {bits} bits are declared, but pixels are stored in {container}; correct the "
            "declaration"
        )
    largest = int(pixels.max())
    if largest >= 1 << bits:
        raise RadiographError(
            f"{path}: the largest pixel is {largest}, but {bits} bits are declared, which hold "
            f"{(1 << bits) - 1} at most; correct the declaration"
        )
    return bits


def _complement(pixels: _Pixels, bits: int) -> _Pixels:
    # 2**bits - 1 - x, for x of that many bits.
    return pixels ^ np.uint16((1 << bits) - 1)
