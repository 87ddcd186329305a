"""Whether bone is dark and the pixels are to be complemented.

What decides, in the order in which it is asked:

    1. the user's declaration, where it overrides the file
    2. (0028,1041) Pixel Intensity Relationship Sign, of images that are not For Presentation
    3. (0028,0004) Photometric Interpretation
    4. the user's declaration, where the file says nothing

The sign says how *stored* values relate to X-ray intensity (DICOM PS3.3 C.8.11.3.1.2), whatever
a Modality LUT does afterwards. Photometric Interpretation says which end of the values to
*display*, after Modality and VOI LUT, is white; bone is white on any display. In an image For
Presentation the sign is often a left-over of the raw image, so the latter decides. (2050,0020)
Presentation LUT Shape is not asked: it may only repeat Photometric Interpretation, and where
devices let the two differ it is the one that is wrong.
"""

from logging import getLogger
from pathlib import Path

from radenhance.dicom.attributes import tag_name
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.modality_lut import ModalityLut
from radenhance.dicom.radiograph import Header
from radenhance.errors import RadiographError

_log = getLogger(__name__)


def is_inverted(
    header: Header,
    modality: ModalityLut,
    *,
    declaration: Declaration,
    for_presentation: bool,
    path: Path,
) -> bool:
    """Return whether lower values mean more attenuation: bone is dark.

    Args:
        header: What the file says about its intensities.
        modality: The Modality LUT.
        declaration: What the user declares.
        for_presentation: Whether the values in question are those after the VOI LUT; else they are
            those after a Modality LUT table, or the stored values where the Modality LUT is slope
            and intercept.
        path: The file, for messages.

    Raises:
        RadiographError: Neither the file nor the declaration says so.
    """
    if declaration.bone is not None and declaration.override:
        return declaration.bone == "dark"
    by_photometric = _by_photometric(header, modality, for_presentation=for_presentation)
    by_sign = None if for_presentation else _by_sign(header, modality)
    photometric_first = for_presentation or header.intent == "FOR PRESENTATION"
    if by_sign is not None and by_photometric is not None and by_sign != by_photometric:
        _log.info(
            "%s: %s %d and %s %s disagree on whether bone is bright; the %s decides",
            path,
            tag_name("PixelIntensityRelationshipSign"),
            header.sign,
            tag_name("PhotometricInterpretation"),
            header.photometric,
            "latter" if photometric_first else "former",
        )
    order = (by_photometric, by_sign) if photometric_first else (by_sign, by_photometric)
    for answer in order:
        if answer is not None:
            return answer
    if declaration.bone is None:
        raise RadiographError(
            f"{path}: {tag_name('PhotometricInterpretation')} is missing, and nothing else says "
            "whether bone is bright; declare it: Declaration(bone=...), or bone in dataset.yaml"
        )
    return declaration.bone == "dark"


def _by_sign(header: Header, modality: ModalityLut) -> bool | None:
    if header.sign is None:
        return None
    # +1: lower pixel values correspond to less X-ray beam intensity.
    inverts = modality.table is not None and modality.inverts
    return (header.sign == 1) != inverts


def _by_photometric(
    header: Header, modality: ModalityLut, *, for_presentation: bool
) -> bool | None:
    if header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return None
    inverts = not for_presentation and modality.table is None and modality.inverts
    return (header.photometric == "MONOCHROME1") != inverts
