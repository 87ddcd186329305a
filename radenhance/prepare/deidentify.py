"""Copies of radiographs without the identity of patient, owner and clinic.

The module lists what is kept, not what is removed, so that an element of which nobody thought is
removed. That is more than the Basic Application Level Confidentiality Profile of DICOM PS3.15 Annex
E demands: no free text, date, name, device number, overlay or private element is left. Text that is
burned into the pixels is not searched for.

Derived images go through the same list (`without_identity`) and keep besides what says how they
were made. They name the profile by its code, which is true of them: `prepare` keeps the sex, as a
dataset needs it, and claims no profile.
"""

import io
import re
from collections.abc import Callable, Collection
from copy import deepcopy
from pathlib import Path

import pydicom
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, generate_uid

from radenhance.dicom.dicom_file import parse
from radenhance.dicom.provenance import dicom_code
from radenhance.errors import RadiographError
from radenhance.files import replace_file
from radenhance.prepare.identity import blacked_out
from radenhance.prepare.source import Source

METHOD = "radenhance prepare --anonymize"
METHOD_OF_DERIVED = "radenhance enhance --deidentify"

_KEPT = (
    "ImageType",
    "SOPClassUID",
    "Modality",
    "ConversionType",
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
_OF_DERIVED = ("DerivationDescription", "DerivationCodeSequence")  # ours
_TERMS = {"RescaleType": ("US", "OD"), "PresentationLUTShape": ("IDENTITY", "INVERSE")}
"""Type 1 of some images -> the values that stay."""
_EMPTY_WHERE_PRESENT = (
    "AnatomicRegionSequence",
    "AcquisitionContextSequence",
    "PositionReferenceIndicator",
)  # type 2 of some images
_EMPTY_OF_ANIMALS = (
    "PatientSexNeutered",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsibleOrganization",
)  # type 2C: required of a patient that has a species
_ABOUT_PIXELS = (
    "SOPClassUID",
    "ImageType",
    "PresentationIntentType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign",
    "PixelData",
)
"""Elements that `derive` writes, and that somebody's number may equal by chance."""
_CODED = ("AnatomicRegionSequence", "ViewCodeSequence", "ViewModifierCodeSequence")
_CODE_VALUES = {
    "SCT": re.compile(r"\d{6,18}"),
    "SRT": re.compile(r"[A-Z]-[0-9A-F]{4,5}"),
    "SNM3": re.compile(r"[A-Z]-[0-9A-F]{4,5}"),
}
"""Designator of SNOMED CT (PS3.16 8.1) -> what its codes look like."""
_PROFILES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),  # (0008,2111) and (0018,A003) stay, in words of ours
)
"""Of PS3.16 CID 7050."""
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


def without_identity(
    derived: Dataset,
    identity: Collection[str],
    *,
    patient: str,
    species: str,
    other_uid: Callable[[str], str],
) -> Dataset:
    """Return a copy of a derived image that has its pixels and no identity.

    Args:
        derived: An image that `dicom.derive.derive` returned.
        identity: Words of the header that identify a patient or an owner.
        patient: (0010,0020) Patient ID of the copy: a pseudonym.
        species: (0010,2201) Patient Species Description of the copy.
        other_uid: What a UID of the source becomes: equal ones become equal ones.
    """
    copy = _kept(derived, identity, other_uid)
    for element in copy:
        text = str(element.value)
        made_here = element.keyword in _ABOUT_PIXELS or element.VR in ("UI", "SQ")
        if not made_here and blacked_out(text, identity) != text:
            element.value = None
    if "PatientSex" in copy:
        copy.PatientSex = None
    _name_patient(copy, patient, species)
    for keyword in _OF_DERIVED:
        copy.add(derived[keyword])
    _say_origin(copy, derived)
    copy.BurnedInAnnotation = derived.get("BurnedInAnnotation") or "YES"  # nobody looked
    copy.LongitudinalTemporalInformationModified = "REMOVED"
    copy.DeidentificationMethod = METHOD_OF_DERIVED
    copy.DeidentificationMethodCodeSequence = [dicom_code(*profile) for profile in _PROFILES]
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = derived.file_meta.TransferSyntaxUID
    return copy


def _say_origin(copy: Dataset, derived: Dataset) -> None:
    (source,), (reference,) = derived.SourceImageSequence, copy.SourceImageSequence
    reference.SpatialLocationsPreserved = source.SpatialLocationsPreserved
    reference.PurposeOfReferenceCodeSequence = source.PurposeOfReferenceCodeSequence
    equipment = deepcopy(derived.ContributingEquipmentSequence[-1])
    del equipment.ContributionDateTime
    copy.ContributingEquipmentSequence = [equipment]


def _dicom_without_identity(source: Source) -> bytes:
    original = source.found.path
    try:
        with original.open("rb") as file:
            syntax = parse(original, file).syntax
        dataset = pydicom.dcmread(original, force=True)
        copy = _kept(dataset, source.identity, _other_uid)
        _name_patient(copy, source.header.patient, source.header.species)
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


def _kept(dataset: Dataset, identity: Collection[str], other_uid: Callable[[str], str]) -> Dataset:
    copy = Dataset()
    copy.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*_EMPTY, *(keyword for keyword in _EMPTY_WHERE_PRESENT if keyword in dataset)):
        setattr(copy, keyword, None)
    for element in dataset:
        if _may_stay(element, identity) or element.keyword == "PixelData":
            copy.add(element)
    for keyword in _UIDS:
        if dataset.get(keyword):
            setattr(copy, keyword, other_uid(dataset[keyword].value))
    _keep_parts(copy, dataset, identity)
    if dataset.get("SourceImageSequence"):
        copy.SourceImageSequence = [
            _reference(item, other_uid) for item in dataset.SourceImageSequence
        ]
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = METHOD
    return copy


def _keep_parts(copy: Dataset, dataset: Dataset, identity: Collection[str]) -> None:
    """Copy tables, codes and terms, and of each what is no text that somebody typed."""
    for keyword, terms in _TERMS.items():
        if dataset.get(keyword) in terms:
            copy.add(dataset[keyword])
    for keyword in _TABLES:
        if dataset.get(keyword):
            setattr(copy, keyword, [_table(item) for item in dataset[keyword].value])
    for keyword in _CODED:
        found = (_code(item, identity) for item in dataset.get(keyword) or [])
        if codes := [code for code in found if code is not None]:
            setattr(copy, keyword, codes)


def _name_patient(copy: Dataset, patient: str, species: str) -> None:
    copy.PatientID = patient
    if not species:  # type 1C: it may not be there and be empty
        return
    copy.PatientSpeciesDescription = species
    for keyword in _EMPTY_OF_ANIMALS:
        setattr(copy, keyword, None)


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


def _reference(item: Dataset, other_uid: Callable[[str], str]) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = item.ReferencedSOPClassUID
    reference.ReferencedSOPInstanceUID = other_uid(item.ReferencedSOPInstanceUID)
    return reference


def _code(item: Dataset, identity: Collection[str]) -> Dataset | None:
    # The meaning is text that anyone may have typed, and the value stands for it; type 1 both.
    value, scheme = str(item.get("CodeValue")), str(item.get("CodingSchemeDesignator"))
    looks_right = scheme in _CODE_VALUES and _CODE_VALUES[scheme].fullmatch(value)
    if not looks_right or blacked_out(value, identity) != value:
        return None
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, value
    return code


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
