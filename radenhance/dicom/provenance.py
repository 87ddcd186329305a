"""What a derived image says about its origin.

Sections are those of DICOM PS3.3 (2024e); codes are from PS3.16.
"""

from datetime import datetime

from pydicom import Dataset

MANUFACTURER = "radenhance"
"""(0008,0070) Manufacturer, in this program's item of Contributing Equipment Sequence."""

_EDGE_ENHANCEMENT = ("113086", "Edge enhancement")
_SOURCE_IMAGE = ("121322", "Source image for image processing operation")
_FOR_PROCESSING_PREDECESSOR = ("121358", "For Processing predecessor")
_PROCESSING_EQUIPMENT = ("109102", "Processing Equipment")

# Transfer syntax -> (0028,2114) Lossy Image Compression Method.
_ALWAYS_LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
}
_MAY_BE_LOSSY = {
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}


def record_derivation(derived: Dataset, source: Dataset, description: str) -> None:
    """Name the source image and what was done to it (C.7.6.1, C.12.4).

    Args:
        derived: The derived image, which gets the elements.
        source: The image that it was derived from.
        description: (0008,2111) Derivation Description.
    """
    derived.DerivationDescription = description
    derived.DerivationCodeSequence = [dicom_code(*_EDGE_ENHANCEMENT)]  # the nearest in CID 7203
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    reference.SpatialLocationsPreserved = "YES"
    for_processing = source.get("PresentationIntentType") == "FOR PROCESSING"
    purpose = _FOR_PROCESSING_PREDECESSOR if for_processing else _SOURCE_IMAGE  # CID 7202
    reference.PurposeOfReferenceCodeSequence = [dicom_code(*purpose)]
    derived.SourceImageSequence = [reference]


def record_equipment(derived: Dataset, made: datetime, software_version: str) -> None:
    """Add this program to the equipment that contributed to the image, as the last (C.12.1).

    Args:
        derived: The derived image, which gets the item.
        made: The moment at which it is made, with its time zone.
        software_version: (0018,1020) Software Versions.
    """
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [dicom_code(*_PROCESSING_EQUIPMENT)]  # CID 7005
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = MANUFACTURER
    item.SoftwareVersions = software_version
    item.ContributionDateTime = f"{made:%Y%m%d%H%M%S.%f%z}"
    item.ContributionDescription = "Contrast enhancement by a neural network"
    before = derived.get("ContributingEquipmentSequence") or []
    derived.ContributingEquipmentSequence = [*before, item]


def written_by_radenhance(dataset: Dataset) -> bool:
    """Return whether `record_equipment` named this program in a dataset."""
    return any(
        item.get("Manufacturer") == MANUFACTURER
        for item in dataset.get("ContributingEquipmentSequence") or []
    )


def loses(declared: str, syntax: str) -> bool:
    """Return whether pixels went through a compression that loses something.

    Args:
        declared: (0028,2110) Lossy Image Compression: 00, 01, or empty where it is not there.
        syntax: UID of the transfer syntax.
    """
    return declared == "01" or bool(_method_of_loss(declared, syntax))


def _method_of_loss(declared: str, syntax: str) -> str | None:
    """Return (0028,2114) of what a transfer syntax shows, whatever the header omits."""
    return _ALWAYS_LOSSY.get(syntax) or (None if declared else _MAY_BE_LOSSY.get(syntax))


def inherit_losses(derived: Dataset, source: Dataset, num_source_bytes: int) -> None:
    """Declare what the new pixels inherit from the old ones: burned-in text, lossy compression.

    A loss is permanent: (0028,2110) stays 01 although the new pixels are stored without loss
    (C.7.6.1.1.5). It becomes 01 where the transfer syntax of the source shows what the header
    omits.

    Args:
        derived: The derived image, which gets the elements.
        source: The image that it was derived from.
        num_source_bytes: Bytes of its pixels; 0 when unknown.
    """
    syntax = source.file_meta.get("TransferSyntaxUID", "") if hasattr(source, "file_meta") else ""
    declared = source.get("LossyImageCompression")
    method = _method_of_loss(declared, syntax)
    if method and declared != "01":
        derived.LossyImageCompression = "01"
        derived.LossyImageCompressionMethod = method
        if num_source_bytes:
            stored_bytes = source.Rows * source.Columns * source.BitsStored / 8
            derived.LossyImageCompressionRatio = round(stored_bytes / num_source_bytes, 1)
    if derived.get("PresentationIntentType"):
        # Type 1 of DX (C.8.11.3). Text is taken to be there unless the source denies it, so that
        # whoever removes identities looks.
        derived.LossyImageCompression = derived.get("LossyImageCompression") or "00"
        derived.BurnedInAnnotation = derived.get("BurnedInAnnotation") or "YES"


def dicom_code(value: str, meaning: str) -> Dataset:
    """Return the item of a code sequence for a code of DICOM's own (PS3.16 Annex D)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item
