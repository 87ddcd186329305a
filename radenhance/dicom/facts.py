"""The elements of a DICOM header that describe a radiograph, besides its pixels.

None of them is needed to read an image, so one that is malformed counts as unknown, unlike those of
the Image Pixel module.
"""

import hashlib
import re
from datetime import datetime
from typing import cast

from radenhance.dicom.attributes import Attributes, or_unknown
from radenhance.dicom.provenance import loses
from radenhance.dicom.radiograph import Header, Intent, Relationship

_FOR_PROCESSING = {
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray
    "1.2.840.10008.5.1.4.1.1.1.2.1",  # Digital Mammography X-Ray
    "1.2.840.10008.5.1.4.1.1.1.3.1",  # Digital Intra-Oral X-Ray
}
_MOMENT = re.compile(r"(\d{14})(\.\d{1,6})?")
"""Year to second, and a fraction; what has no seconds tells too little."""
_UNCOMPRESSED_PREDECESSOR = "121320"  # of PS3.16 CID 7202, scheme DCM
_FOR_PRESENTATION = {uid.removesuffix(".1") for uid in _FOR_PROCESSING}


def header_facts(attributes: Attributes, syntax: str = "") -> Header:
    """Return the header; an absent or malformed element is unknown, and the latter is logged.

    Args:
        attributes: The image's elements.
        syntax: UID of its transfer syntax; empty where nothing is compressed.
    """

    def text(keyword: str) -> str:
        return or_unknown(attributes.text, keyword, "")

    date = text("AcquisitionDate") or text("StudyDate")  # with dots before DICOM of 1993
    return Header(
        sop_class_uid=text("SOPClassUID"),
        sop_instance_uid=text("SOPInstanceUID"),
        source_uids=_source_uids(attributes, predecessors=False),
        predecessor_uids=_source_uids(attributes, predecessors=True),
        study_uid=text("StudyInstanceUID"),
        event_uid=text("IrradiationEventUID"),
        acquired_s=_acquired_s(
            text("AcquisitionDateTime"),
            date.replace(".", "") + text("AcquisitionTime"),
        ),
        acquisition_number=or_unknown(attributes.integer, "AcquisitionNumber", None),
        instance_number=or_unknown(attributes.integer, "InstanceNumber", None),
        derived=text("ImageType").upper().startswith("DERIVED"),
        lossy=loses(text("LossyImageCompression"), syntax),
        patient=_pseudonym(text("PatientID"), text("IssuerOfPatientID"), text("PatientName")),
        species=text("PatientSpeciesDescription")
        or _meaning(attributes, "PatientSpeciesCodeSequence"),
        breed=text("PatientBreedDescription") or _meaning(attributes, "PatientBreedCodeSequence"),
        body_part=text("BodyPartExamined"),
        view=text("ViewPosition"),
        manufacturer=text("Manufacturer"),
        model=text("ManufacturerModelName"),
        photometric=text("PhotometricInterpretation").upper(),
        intent=_intent(text("PresentationIntentType").upper(), text("SOPClassUID")),
        relationship=_relationship(text("PixelIntensityRelationship").upper()),
        sign=_sign(attributes),
        kvp=or_unknown(attributes.number, "KVP", None),
        mas=or_unknown(attributes.number, "Exposure", None),
    )


def pixel_spacing_mm(attributes: Attributes) -> tuple[float, float] | None:
    """Return the distance of pixel centres, rows before columns, in millimetres.

    It is that at the detector where the header has it, as DX has (type 1); (0028,0030) Pixel
    Spacing may have been calibrated to some depth in the patient (DICOM PS3.3 10.7.1.3).
    """
    for keyword in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"):
        spacing = or_unknown(attributes.numbers, keyword, ())
        if len(spacing) == 2 and min(spacing) > 0:
            return spacing[0], spacing[1]
    return None


def _pseudonym(*identity: str) -> str:
    if not any(identity):
        return ""
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]


def _acquired_s(*moments: str) -> float | None:
    for moment in moments:
        if found := _MOMENT.match(moment.replace(":", "")):
            date, fraction = found.groups()
            try:
                since = datetime.strptime(date, "%Y%m%d%H%M%S") - datetime.min
            except ValueError:  # month 13
                continue
            return since.total_seconds() + float(f"0{fraction or ''}")
    return None


def _source_uids(attributes: Attributes, *, predecessors: bool) -> tuple[str, ...]:
    items = or_unknown(attributes.items, "SourceImageSequence", ())
    uids = (
        or_unknown(item.text, "ReferencedSOPInstanceUID", "")
        for item in items
        if _is_predecessor(item) == predecessors
    )
    return tuple(uid for uid in uids if uid)


def _is_predecessor(item: Attributes) -> bool:
    purposes = or_unknown(item.items, "PurposeOfReferenceCodeSequence", ())
    codes = [or_unknown(purpose.text, "CodeValue", "") for purpose in purposes]
    return _UNCOMPRESSED_PREDECESSOR in codes


def _meaning(attributes: Attributes, sequence: str) -> str:
    items = or_unknown(attributes.items, sequence, ())
    return or_unknown(items[0].text, "CodeMeaning", "") if items else ""


def _intent(declared: str, sop_class_uid: str) -> Intent | None:
    if declared in ("FOR PROCESSING", "FOR PRESENTATION"):
        return cast(Intent, declared)
    if sop_class_uid in _FOR_PROCESSING:
        return "FOR PROCESSING"
    return "FOR PRESENTATION" if sop_class_uid in _FOR_PRESENTATION else None


def _relationship(declared: str) -> Relationship | None:
    return cast(Relationship, declared) if declared in ("LIN", "LOG") else None


def _sign(attributes: Attributes) -> int | None:
    sign = or_unknown(attributes.integer, "PixelIntensityRelationshipSign", None)
    return sign if sign in (1, -1) else None
