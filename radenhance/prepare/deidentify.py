"""Copies of radiographs without the identity of patient, owner and clinic.

The module lists what is kept, not what is removed, so that an element of which nobody thought is
removed. That is more than the Basic Application Level Confidentiality Profile of DICOM PS3.15 Annex
E demands: no free text, date, name, device number, overlay or private element is left. Text that is
burned into the pixels is not searched for.
"""

import io
from collections.abc import Collection
from pathlib import Path

import pydicom
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, generate_uid

from radenhance.dicom.dicom_file import parse
from radenhance.errors import RadiographError
from radenhance.files import replace_file
from radenhance.prepare.identity import blacked_out
from radenhance.prepare.source import Source

METHOD = "radenhance prepare --anonymize"

_KEPT = (
    "ImageType",
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientSex",
    "AnatomicalOrientationType",
    "PatientOrientation",
    "Laterality",
    "ImageLaterality",
)
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_EMPTY = (
    "PatientName",
    "PatientBirthDate",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SeriesNumber",
    "InstanceNumber",
)  # type 2: required, but may be empty
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
_TABLE_PARTS = ("LUTDescriptor", "LUTData", "ModalityLUTType")
_NUMBERS_AND_CODES = ("CS", "DS", "FD", "FL", "IS", "SL", "SS", "UL", "US", "US or SS")
_ACQUISITION, _IMAGE = 0x0018, 0x0028
_PNG_START = 8
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # ISO/IEC 15948 11.2 and 11.3.2


def write_without_identity(path: Path, source: Source) -> None:
    """Write a copy of a file that has its pixels and no identity.

    Args:
        path: Path of the copy.
        source: The file to copy.

    Raises:
        RadiographError: The file is a TIFF file, or its header cannot be rewritten.
    """
    original = source.found.path
    if source.suffix == ".dcm":
        content = _dicom_without_identity(source)
    elif source.suffix == ".png":
        content = _png_without_text(original.read_bytes())
    elif source.suffix == ".npy":
        content = original.read_bytes()
    else:
        raise RadiographError(
            f"{original}: --anonymize cannot remove the texts that a TIFF file may hold; convert "
            "it to PNG"
        )
    replace_file(path, content)


def _dicom_without_identity(source: Source) -> bytes:
    original = source.found.path
    try:
        with original.open("rb") as file:
            syntax = parse(original, file).syntax
        dataset = pydicom.dcmread(original, force=True)
        copy = _kept(dataset, source.identity)
        copy.PatientID = source.header.patient
        copy.PatientSpeciesDescription = source.header.species
        copy.file_meta = FileMetaDataset()
        copy.file_meta.TransferSyntaxUID = syntax
        encoded = io.BytesIO()
        copy.save_as(encoded, enforce_file_format=True)
    except (RadiographError, OSError):
        raise
    except Exception as error:
        # Malformed elements make pydicom raise errors of almost any type.
        raise RadiographError(
            f"{original}: its header cannot be rewritten; repair the file, or leave --anonymize out"
        ) from error
    return encoded.getvalue()


def _kept(dataset: Dataset, identity: Collection[str]) -> Dataset:
    copy = Dataset()
    copy.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _EMPTY:
        setattr(copy, keyword, None)
    for element in dataset:
        if _may_stay(element, identity) or element.keyword == "PixelData":
            copy.add(element)
    for keyword in _UIDS:
        if dataset.get(keyword):
            setattr(copy, keyword, _other_uid(dataset[keyword].value))
    for keyword in _TABLES:
        if dataset.get(keyword):
            setattr(copy, keyword, [_table(item) for item in dataset[keyword].value])
    if dataset.get("SourceImageSequence"):
        copy.SourceImageSequence = [_reference(item) for item in dataset.SourceImageSequence]
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = METHOD
    return copy


def _may_stay(element: DataElement, identity: Collection[str]) -> bool:
    technical = element.tag.group in (_ACQUISITION, _IMAGE) and not element.tag.is_private
    if not (element.keyword in _KEPT or (technical and element.VR in _NUMBERS_AND_CODES)):
        return False
    # People type text even where codes belong, in the group of the acquisition. Codes in the group
    # of the image decide how pixels are read, and an owner may be called Lin.
    text = str(element.value)
    return element.tag.group != _ACQUISITION or blacked_out(text, identity) == text


def _other_uid(uid: str) -> UID:
    # Equal UIDs become equal UIDs: images of one study stay together.
    return generate_uid(entropy_srcs=[METHOD, uid])


def _table(item: Dataset) -> Dataset:
    table = Dataset()
    for element in item:
        if element.keyword in _TABLE_PARTS:
            table.add(element)
    return table


def _reference(item: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = item.ReferencedSOPClassUID
    reference.ReferencedSOPInstanceUID = _other_uid(item.ReferencedSOPInstanceUID)
    return reference


def _png_without_text(content: bytes) -> bytes:
    kept = [content[:_PNG_START]]
    at = _PNG_START
    while at + 12 <= len(content):
        # A chunk is its length, its type, the data and a checksum.
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in _PNG_KEPT:
            kept.append(content[at:end])
        at = end
    return b"".join(kept)
