"""Which DICOM images are radiographs: one grayscale projection of X-rays."""

from logging import getLogger

from pydicom.uid import UID

from radenhance.dicom.attributes import Attributes
from radenhance.errors import NoRadiographError

_log = getLogger(__name__)

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, For Presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # ... For Processing
    "1.2.840.10008.5.1.4.1.1.1.2",  # Digital Mammography X-Ray, For Presentation
    "1.2.840.10008.5.1.4.1.1.1.2.1",  # ... For Processing
    "1.2.840.10008.5.1.4.1.1.1.3",  # Digital Intra-Oral X-Ray, For Presentation
    "1.2.840.10008.5.1.4.1.1.1.3.1",  # ... For Processing
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
    "1.2.840.10008.5.1.4.1.1.12.1",  # X-Ray Angiographic
    "1.2.840.10008.5.1.4.1.1.12.1.1",  # Enhanced XA
    "1.2.840.10008.5.1.4.1.1.12.2",  # X-Ray Radiofluoroscopic
    "1.2.840.10008.5.1.4.1.1.12.2.1",  # Enhanced XRF
}
"""SOP classes of X-ray projections."""

# DICOM PS3.3 C.7.3.1.1.1, and DR, which devices write though it is no defined term.
_MODALITIES = {"CR", "DX", "DR", "MG", "IO", "PX", "RG", "XA", "RF", "OT", ""}


def check_projection(attributes: Attributes) -> None:
    """Refuse what is not one grayscale X-ray projection.

    Args:
        attributes: The image's elements.

    Raises:
        NoRadiographError: The image has another modality, colour, or more than one frame.
        RadiographError: An element that decides is missing or malformed.
    """
    sop_class = UID(attributes.text("SOPClassUID"))
    modality = attributes.text("Modality").upper()
    if sop_class not in SOP_CLASSES:
        raise attributes.error(
            "SOPClassUID",
            f"is {sop_class.name!r}, expected an X-ray projection such as CR or DX",
            NoRadiographError,
        )
    if modality not in _MODALITIES:
        raise attributes.error(
            "Modality",
            f"is {modality!r}, expected an X-ray projection such as CR or DX",
            NoRadiographError,
        )
    frames = attributes.integer("NumberOfFrames")
    if frames == 0:
        _log.warning("%s is 0; 1 is taken", attributes.named("NumberOfFrames"))
    if frames not in (None, 0, 1):
        raise attributes.error(
            "NumberOfFrames", f"is {frames}, expected a single frame", NoRadiographError
        )
    _check_grayscale(attributes)


def _check_grayscale(attributes: Attributes) -> None:
    samples = attributes.required_integer("SamplesPerPixel")
    photometric = attributes.text("PhotometricInterpretation").upper()
    # An empty one is left to polarity.py, because the user may have declared what it does not say.
    if photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise attributes.error(
            "PhotometricInterpretation",
            f"is {photometric!r}, expected MONOCHROME1 or MONOCHROME2; a colour image (a "
            "screenshot or a scan) does not hold X-ray intensities",
            NoRadiographError,
        )
    if samples != 1:
        raise attributes.error("SamplesPerPixel", f"is {samples}, expected 1 (grayscale)")
