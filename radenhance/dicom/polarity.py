"""Whether bone is bright: the rules, in the order in which they are asked.

    1. the user's rule, where it overrides the file
    2. (0028,1041) Pixel Intensity Relationship Sign, of images not made for viewing
    3. (0028,0004) Photometric Interpretation
    4. the user's rule, where the file is silent

The sign tells how *stored* values relate to X-ray intensity (DICOM PS3.3 C.8.11.3.1.2), whatever
a Modality LUT does afterwards. Photometric Interpretation tells which end of the values to
*display*, after Modality and VOI LUT, is white; bone is white on any display. In an image For
Presentation the sign is often a left-over of the raw image, so the latter decides. (2050,0020)
Presentation LUT Shape is not asked: it may only repeat Photometric Interpretation, and where
devices let the two differ it is the one that is wrong.
"""

from logging import getLogger
from pathlib import Path

from radenhance.dicom.attributes import tag_name
from radenhance.dicom.declaration import Rule
from radenhance.dicom.modality_lut import ModalityLut
from radenhance.dicom.radiograph import Header
from radenhance.errors import RadiographError

_log = getLogger(__name__)


def bone_is_high(
    header: Header, modality: ModalityLut, *, rule: Rule, viewing: bool, path: Path
) -> bool:
    """Say whether high values are bone.

    Which values: with `viewing` those after the VOI LUT; else those after a Modality LUT table, or,
    where that is slope and intercept, the stored ones.

    Raises:
        RadiographError: Neither the file nor the rule tells.
    """
    if rule.bone is not None and rule.override:
        return rule.bone == "bright"
    by_photometric = _by_photometric(header, modality, viewing=viewing)
    made_for_viewing = viewing or header.intent == "FOR PRESENTATION"
    by_sign = None if viewing else _by_sign(header, modality)
    if by_sign is not None and by_photometric is not None and by_sign != by_photometric:
        _log.info(
            "%s: %s %d and %s %s disagree on whether bone is bright; the %s decides",
            path,
            tag_name("PixelIntensityRelationshipSign"),
            header.sign,
            tag_name("PhotometricInterpretation"),
            header.photometric,
            "latter" if made_for_viewing else "former",
        )
    order = (by_photometric, by_sign) if made_for_viewing else (by_sign, by_photometric)
    for answer in order:
        if answer is not None:
            return answer
    if rule.bone is None:
        raise RadiographError(
            f"{path}: {tag_name('PhotometricInterpretation')} is missing, and nothing else tells "
            "whether bone is bright; declare it with a rule"
        )
    return rule.bone == "bright"


def _by_sign(header: Header, modality: ModalityLut) -> bool | None:
    if header.sign is None:
        return None
    stored_high = header.sign == -1
    turned = modality.table is not None and modality.falls
    return stored_high != turned


def _by_photometric(header: Header, modality: ModalityLut, *, viewing: bool) -> bool | None:
    if header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return None
    displayed_high = header.photometric == "MONOCHROME2"
    turned = not viewing and modality.table is None and modality.falls
    return displayed_high != turned
