"""What `radenhance check` finds in one pair of a dataset, and what is wrong with it.

A wrong polarity, a shift of a pixel or a wrong number of bits raises no error in training and
spoils it. Faults make a pair unfit to train on; warnings are for a person to look at.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radenhance.arrays import Points
from radenhance.dataset.description import Declarations
from radenhance.dataset.normalize import exposed_field, intensity_range, normalize
from radenhance.dataset.pair import Pair
from radenhance.dicom.attributes import tag_name
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.dicom.read import read
from radenhance.errors import RadiographError
from radenhance.prepare.check.alignment import Alignment, align
from radenhance.prepare.geometry import fault_of_geometry, placement_of, what_to_undo
from radenhance.prepare.outside import outside_of

NARROWEST_RANGE = 0.02
"""Fraction of the scale that the bits declare."""
MOST_SATURATED = 0.2
"""Fraction of the valid pixels."""
SMALLEST_SIDE_PX = 161
"""MS-SSIM halves the sides 4 times and then needs 11 pixels: (161 - 1) / 16 + 1."""

_FROM_DECLARATION = "dataset.yaml"
_FROM_FORMAT = "format"


@dataclass(frozen=True)
class ImageFindings:
    """What was found in one file of a pair.

    Args:
        rows: Number of rows.
        cols: Number of columns.
        bits: Declared bits per pixel.
        bits_by: What declares the bits: a tag, dataset.yaml or the file format.
        bone_by: What declares which values are bone: a tag, dataset.yaml or the file format.
        relationship: Relationship of pixel values to X-ray intensity, LIN or LOG.
        window_width: Distance of the 0.1 and 99.9 percentiles, as a fraction of the scale.
        black: Fraction of the valid pixels at the lower end of the scale: direct exposure in a raw
            image, and the blackened surroundings in a target.
        white: Fraction of the valid pixels at the upper end of the scale.
        used_bits: Bits that the values need.
        pixels_hash: Hash of size and pixels as they are read, whatever the file around them.
    """

    rows: int
    cols: int
    bits: int
    bits_by: str
    bone_by: str
    relationship: str
    window_width: float
    black: float
    white: float
    used_bits: int
    pixels_hash: str


@dataclass(frozen=True)
class PairFindings:
    """What was found in one pair.

    Args:
        pair: Line of the manifest.
        raw: Findings in the raw file; None when it cannot be read.
        target: Findings in the target; None when it cannot be read.
        alignment: Alignment of the two; None when they cannot be compared.
        faults: Problems that make the pair unfit to train on.
        warnings: Problems that a person should look at.
        outside_field: What the target is outside the exposed field, as `outside_of` says it; empty
            when they cannot be compared.
        case: What reports call the pair: its number, as the manifest lists it.
    """

    pair: Pair
    raw: ImageFindings | None = None
    target: ImageFindings | None = None
    alignment: Alignment | None = None
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    outside_field: str = ""
    case: str = ""


def examine(root: Path, declarations: Declarations, pair: Pair) -> PairFindings:
    """Read both files of a pair and compare them.

    Args:
        root: The dataset folder.
        declarations: What the folder's dataset.yaml declares.
        pair: Line of the manifest.
    """
    faults: list[str] = []
    raw = _read("raw", root / pair.raw_path, declarations.raw, faults)
    target = _read(
        "target", root / pair.target_path, declarations.target, faults, for_presentation=True
    )
    same_size = raw is not None and target is not None and raw.shape == target.shape
    field = _field(raw)
    found_raw = _findings(raw, declarations.raw, field)
    found_target = _findings(
        target,
        declarations.target,
        field if same_size else _field(target),  # one exposure has one field
        for_presentation=True,
    )
    warnings = [*_warnings("raw", found_raw), *_warnings("target", found_target)]
    alignment, outside = None, ""
    if raw is not None and target is not None:
        shown, seen = normalize(target), normalize(raw)
        placement = placement_of(seen, shown)
        if same_size and field is not None:
            outside = outside_of(field, shown)
            in_place = placement and not placement.is_turned
            alignment = placement.alignment if placement and in_place else align(seen, shown)
        if wrong := fault_of_geometry(seen.shape, shown.shape, placement):
            faults.append(f"target {wrong}")
        elif placement and (told := what_to_undo(placement)):
            (faults if placement.is_turned else warnings).append(f"target {told}")
    return PairFindings(
        pair, found_raw, found_target, alignment, tuple(faults), tuple(warnings), outside
    )


def _read(
    name: str,
    path: Path,
    declaration: Declaration,
    faults: list[str],
    *,
    for_presentation: bool = False,
) -> Radiograph | None:
    """Read a file, or add the reason why it cannot be read to the faults."""
    try:
        return read(path, declaration=declaration, for_presentation=for_presentation)
    except RadiographError as error:
        faults.append(str(error).replace(str(path), name))
        return None


def bone_declared_by(header: Header, declaration: Declaration, *, for_presentation: bool) -> str:
    """Return what decides which values are bone, in the order of docs/reference/reading.md."""
    if declaration.bone is not None and (declaration.override or header == Header()):
        return _FROM_DECLARATION
    if header == Header():
        return _FROM_FORMAT
    sign = (
        []
        if for_presentation or header.sign is None
        else [tag_name("PixelIntensityRelationshipSign")]
    )
    photometric = [tag_name("PhotometricInterpretation")] if header.photometric else []
    made_for_people = for_presentation or header.intent == "FOR PRESENTATION"
    order = photometric + sign if made_for_people else sign + photometric
    return [*order, _FROM_DECLARATION][0]


def bits_declared_by(header: Header, declaration: Declaration, *, for_presentation: bool) -> str:
    """Return what decides the bits per pixel."""
    silent = header == Header()  # not a DICOM file
    if declaration.bits is not None and (silent or declaration.override):
        return _FROM_DECLARATION
    if silent:
        return _FROM_FORMAT
    return "VOI LUT or window" if for_presentation else tag_name("BitsStored")


def _field(image: Radiograph | None) -> Points | None:
    return None if image is None else exposed_field(image, normalize(image))


def _findings(
    radiograph: Radiograph | None,
    declaration: Declaration,
    field: Points | None,
    *,
    for_presentation: bool = False,
) -> ImageFindings | None:
    if radiograph is None or field is None:
        return None
    valid = radiograph.valid
    pixels = radiograph.pixels if valid is None or not valid.any() else radiograph.pixels[valid]
    low, high = intensity_range(radiograph, field)
    least, largest = int(pixels.min()), int(pixels.max())
    black, white = (float((pixels == end).mean()) for end in (0, radiograph.max_value))
    rows, cols = radiograph.shape
    return ImageFindings(
        rows=rows,
        cols=cols,
        bits=radiograph.bits,
        bits_by=bits_declared_by(radiograph.header, declaration, for_presentation=for_presentation),
        bone_by=bone_declared_by(radiograph.header, declaration, for_presentation=for_presentation),
        relationship=radiograph.relationship,
        window_width=0.0 if least == largest else round(high - low, 6),
        black=round(black, 6),
        white=round(white, 6),
        # Values may be counted from either end of the scale, because bone may be dark in the file.
        used_bits=min(largest.bit_length(), (radiograph.max_value - least).bit_length()),
        pixels_hash=_hash(radiograph.pixels),
    )


def _hash(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _warnings(name: str, image: ImageFindings | None) -> list[str]:
    if image is None:
        return []
    found = _warnings_of_scale(name, image)
    if image.white > MOST_SATURATED:
        found.append(f"{name} is saturated white in {100 * image.white:.0f} % of its pixels")
    if image.black > MOST_SATURATED and name == "raw":
        found.append(
            f"raw is saturated by direct exposure in {100 * image.black:.0f} % of its pixels, "
            "which is right only beside the animal"
        )
    if min(image.rows, image.cols) < SMALLEST_SIDE_PX:
        found.append(
            f"{name} has {image.rows} x {image.cols} pixels; at native size the loss at 5 scales "
            f"needs {SMALLEST_SIDE_PX}; train with --model.num_scales=auto"
        )
    return found


def _warnings_of_scale(name: str, image: ImageFindings) -> list[str]:
    if image.window_width < NARROWEST_RANGE:
        return [
            f"{name} is washed out: 99.8 % of its pixels are in {100 * image.window_width:.1f} % "
            f"of the scale of {image.bits} bits"
        ]
    if image.used_bits <= image.bits - 2:
        return [
            f"{name} is declared to have {image.bits} bits ({image.bits_by}), but its values need "
            f"only {image.used_bits}; write bits: {image.used_bits} and override: true under "
            f"{name} in dataset.yaml"
        ]
    return []
