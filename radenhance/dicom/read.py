"""A radiograph from a DICOM, PNG, TIFF or NPY file.

    file -> stored values -> Modality LUT -> (VOI LUT) -> complement if bone is dark -> Radiograph

What a value means is declared, never guessed: bit depth and polarity come from the header, else
from the user's rule, and a file that leaves them open is refused. The chain is made of whole
numbers, so that nothing is lost. docs/reference/reading.md lists the rules.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.declaration import Rule
from radenhance.dicom.dicom_file import DicomFile, looks_like_dicom, parse
from radenhance.dicom.facts import header_facts, pixel_spacing_mm
from radenhance.dicom.image_file import image_format, read_image
from radenhance.dicom.modality_lut import ModalityLut, modality_lut
from radenhance.dicom.pixel_data import containers, stored_values
from radenhance.dicom.pixel_format import PixelFormat, pixel_format
from radenhance.dicom.polarity import bone_is_high
from radenhance.dicom.projection import check_projection
from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.dicom.valid_area import valid_area
from radenhance.dicom.voi import viewed
from radenhance.errors import RadiographError

__all__ = ["Rule", "read", "read_header"]

_START_BYTES = 132
_Pixels = npt.NDArray[np.uint16]


def read(
    path: str | PathLike[str], *, rule: Rule | None = None, viewing: bool = False
) -> Radiograph:
    """Read a radiograph, recognised by its content.

    Args:
        path: A DICOM, PNG, TIFF or NPY file, whatever its suffix.
        rule: What the user declares about files that do not.
        viewing: Give the values as the file wants them viewed, that is after VOI LUT or window:
            for targets that are meant for the eye. Raw images are read without.

    Returns:
        Bone bright. With `viewing`, `bits` are 16 or those of the VOI LUT, and the relationship is
        LOG.

    Raises:
        RadiographError: The file is not a single grayscale projection image, is damaged or cut off,
            or does not tell what its values mean. The message names file and tag.
    """
    path, rule = Path(path), rule or Rule()
    with _opened(path) as file:
        kind = _kind(path, file)
        if kind == "DICOM":
            return _read_dicom(parse(path, file), rule, viewing=viewing)
        image = read_image(path, file, kind)
    bits = _declared_bits(path, image.values, rule.bits or image.bits, image.bits)
    bright = image.bright_is_high if rule.bone is None else rule.bone == "bright"
    pixels = image.values if bright else _complement(image.values, bits)
    relationship = "LOG" if viewing else rule.relationship or "LOG"
    return Radiograph(pixels=pixels, bits=bits, relationship=relationship, path=path)


def read_header(path: str | PathLike[str]) -> Header:
    """Read what a file tells besides its pixels, which are not touched.

    Raises:
        RadiographError: The file is neither DICOM, PNG, TIFF nor NPY, or its header is damaged.
    """
    path = Path(path)
    with _opened(path) as file:
        if _kind(path, file) != "DICOM":
            return Header()
        return header_facts(parse(path, file).attributes)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise RadiographError(f"{path}: {error.strerror or 'the file cannot be read'}") from error


def _kind(path: Path, file: BinaryIO) -> str:
    start = file.read(_START_BYTES)
    # DICOM first: its preamble may begin with the magic number of TIFF (PS3.10 7.1).
    kind = "DICOM" if looks_like_dicom(start) else image_format(start)
    if kind is None:
        got = f"starts with {start[:8].hex(' ')}" if start else "is empty"
        raise RadiographError(f"{path}: the file {got}, expected DICOM, PNG, TIFF or NPY")
    return kind


def _read_dicom(dicom: DicomFile, rule: Rule, *, viewing: bool) -> Radiograph:
    attributes = dicom.attributes
    path = attributes.path
    check_projection(attributes)
    layout = pixel_format(attributes)
    header = header_facts(attributes)
    modality = modality_lut(attributes, signed=layout.signed)
    high = bone_is_high(header, modality, rule=rule, viewing=viewing, path=path)
    container = containers(dicom, layout)
    stored = stored_values(container, layout)
    valid = valid_area(attributes, layout, container=container, stored=stored)
    if viewing or modality.table is not None:
        pixels, bits = _mapped(stored, attributes, layout, modality, viewing=viewing)
    else:
        pixels, bits = stored, layout.stored
    if rule.override and rule.bits and not viewing:
        bits = _declared_bits(path, pixels, rule.bits, layout.allocated)
    if not high:
        pixels = _complement(pixels, bits)
    declared = rule.relationship if rule.override else None
    relationship = declared or header.relationship or rule.relationship or "LOG"
    return Radiograph(
        pixels=pixels,
        bits=bits,
        relationship="LOG" if viewing else relationship,
        path=path,
        valid=valid,
        spacing_mm=pixel_spacing_mm(attributes),
        header=header,
    )


def _mapped(
    stored: _Pixels,
    attributes: Attributes,
    layout: PixelFormat,
    modality: ModalityLut,
    *,
    viewing: bool,
) -> tuple[_Pixels, int]:
    # All that a pixel can be, mapped once; then the image is a look-up.
    possible = np.arange(1 << layout.stored, dtype=np.float64) - layout.offset
    if viewing:
        values = modality(possible)
        if not np.isfinite(values).all():
            raise attributes.error("RescaleSlope", "takes the pixel values beyond all numbers")
        table, bits = viewed(attributes, values)
    else:
        assert modality.table is not None
        table, bits = modality.table(possible), modality.table.bits
    return table[stored], bits


def _declared_bits(path: Path, pixels: _Pixels, bits: int, container: int) -> int:
    if bits > container:
        raise RadiographError(
            f"{path}: {bits} bits are declared by the rule, but pixels are stored in {container}"
        )
    largest = int(pixels.max())
    if largest >= 1 << bits:
        raise RadiographError(
            f"{path}: the largest pixel is {largest}, but {bits} bits are declared, which hold "
            f"{(1 << bits) - 1} at most; correct the rule"
        )
    return bits


def _complement(pixels: _Pixels, bits: int) -> _Pixels:
    # 2**bits - 1 - x, for x of that many bits.
    return pixels ^ np.uint16((1 << bits) - 1)
