"""What one pair of a dataset looks like, and what is wrong with it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radenhance.dataset.description import Declarations
from radenhance.dataset.normalize import intensity_range, normalize
from radenhance.dataset.pair import Pair
from radenhance.dicom.attributes import tag_name
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.dicom.read import read
from radenhance.errors import RadiographError
from radenhance.prepare.check.alignment import Alignment, align

LARGEST_SHIFT = 0.5  # pixels
LEAST_LIKENESS = 0.2  # pairs have 0.4 and more, targets of other radiographs less than 0.1
NARROWEST_WINDOW = 0.02  # of the scale that the bits declare
MOST_SATURATED = 0.2  # of the valid pixels
SMALLEST_SIDE = 161  # pixels; MS-SSIM halves 4 times and then needs 11: (161 - 1) / 16 + 1


@dataclass(frozen=True)
class Half:
    """One file of a pair.

    Args:
        rows: Of the image.
        cols: Of the image.
        bits: Declared bits per pixel.
        bits_by: What declares them: a tag, the rule, or the file format.
        bone_by: What declares which values are bone: likewise.
        relationship: LIN or LOG.
        window_width: Between the 0.1 and 99.9 percentiles, as a share of the scale.
        black: Share of the valid pixels at the lower end of the scale: direct exposure in a raw
            image, and in a target what was blackened.
        white: Share at the upper end.
        used_bits: Bits that the values need.
        pixels_hash: Of size and pixels as they are read, whatever the file around them.
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
class Examination:
    """What was found of one pair.

    Args:
        pair: Its line of the manifest.
        raw: The raw file; None when it cannot be read.
        target: The target; None when it cannot be read.
        alignment: Of the two; None when they cannot be compared.
        faults: What must be mended before training.
        warnings: What a person should look at.
    """

    pair: Pair
    raw: Half | None = None
    target: Half | None = None
    alignment: Alignment | None = None
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A pair to examine: the dataset folder, its rules, and the line of the manifest."""

    root: Path
    rules: Declarations
    pair: Pair


def examine(job: Job) -> Examination:
    """Read both files of a pair and compare them."""
    faults: list[str] = []
    images: dict[str, Radiograph] = {}
    for half, path, rule in (
        ("raw", job.pair.raw_path, job.rules.raw),
        ("target", job.pair.target_path, job.rules.target),
    ):
        try:
            images[half] = read(
                job.root / path, declaration=rule, for_presentation=half == "target"
            )
        except RadiographError as error:
            faults.append(str(error).replace(f"{job.root / path}", path))
    raw = _half(images["raw"], job.rules.raw, viewing=False) if "raw" in images else None
    target = _half(images["target"], job.rules.target, viewing=True) if "target" in images else None
    warnings = [*_warnings("raw", raw), *_warnings("target", target)]
    alignment = None
    if len(images) == 2 and images["raw"].shape != images["target"].shape:
        faults.append(
            f"raw has {images['raw'].shape} rows and columns, target {images['target'].shape}"
        )
    elif len(images) == 2:
        alignment = align(normalize(images["raw"]), normalize(images["target"]))
        found_faults, found_warnings = _of_alignment(alignment)
        faults += found_faults
        warnings += found_warnings
    return Examination(job.pair, raw, target, alignment, tuple(faults), tuple(warnings))


def bone_declared_by(header: Header, rule: Declaration, *, viewing: bool) -> str:
    """Return what decides which values are bone, in the order of docs/reference/reading.md."""
    if rule.bone is not None and (rule.override or header == Header()):
        return "rule"
    if header == Header():
        return "format"
    sign = [] if viewing or header.sign is None else [tag_name("PixelIntensityRelationshipSign")]
    photometric = [tag_name("PhotometricInterpretation")] if header.photometric else []
    made_for_viewing = viewing or header.intent == "FOR PRESENTATION"
    order = photometric + sign if made_for_viewing else sign + photometric
    return [*order, "rule"][0]


def bits_declared_by(header: Header, rule: Declaration, *, viewing: bool) -> str:
    """Return what decides the bits per pixel."""
    silent = header == Header()  # not a DICOM file
    if rule.bits is not None and (silent or (rule.override and not viewing)):
        return "rule"
    if silent:
        return "format"
    return "VOI LUT or window" if viewing else tag_name("BitsStored")


def _half(radiograph: Radiograph, rule: Declaration, *, viewing: bool) -> Half:
    valid = radiograph.valid
    pixels = radiograph.pixels if valid is None or not valid.any() else radiograph.pixels[valid]
    low, high = intensity_range(radiograph, normalize(radiograph))
    least, largest = int(pixels.min()), int(pixels.max())
    black, white = (float((pixels == end).mean()) for end in (0, radiograph.max_value))
    rows, cols = radiograph.shape
    return Half(
        rows=rows,
        cols=cols,
        bits=radiograph.bits,
        bits_by=bits_declared_by(radiograph.header, rule, viewing=viewing),
        bone_by=bone_declared_by(radiograph.header, rule, viewing=viewing),
        relationship=radiograph.relationship,
        window_width=0.0 if least == largest else round(high - low, 6),
        black=round(black, 6),
        white=round(white, 6),
        # either end may be where the values begin, because bone may be dark in the file
        used_bits=min(largest.bit_length(), (radiograph.max_value - least).bit_length()),
        pixels_hash=_hash(radiograph.pixels),
    )


def _hash(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _warnings(name: str, half: Half | None) -> list[str]:
    if half is None:
        return []
    found = []
    if half.window_width < NARROWEST_WINDOW:
        found.append(
            f"{name} is washed out: 99.8 % of its pixels are in {100 * half.window_width:.1f} % of "
            f"the scale of {half.bits} bits"
        )
    elif half.used_bits <= half.bits - 2:
        found.append(
            f"{name} is declared to have {half.bits} bits ({half.bits_by}), but its values need "
            f"only {half.used_bits}; where that is wrong, declare the bits in dataset.yaml"
        )
    if half.white > MOST_SATURATED:
        found.append(f"{name} is saturated white in {100 * half.white:.0f} % of its pixels")
    if half.black > MOST_SATURATED and name == "raw":
        found.append(
            f"raw is saturated by direct exposure in {100 * half.black:.0f} % of its pixels, which "
            f"is right beside the animal alone"
        )
    if min(half.rows, half.cols) < SMALLEST_SIDE:
        found.append(
            f"{name} has {half.rows} x {half.cols} pixels; at native size the loss at 5 scales "
            f"needs {SMALLEST_SIDE} (--model.num_scales auto takes fewer)"
        )
    return found


def _of_alignment(alignment: Alignment) -> tuple[list[str], list[str]]:
    if alignment.likeness < -LEAST_LIKENESS:
        return [
            f"target is INVERTED against raw (likeness {alignment.likeness:.2f}): what is bright "
            f"in one is dark in the other; correct the file, or its rule in dataset.yaml"
        ], []
    if alignment.likeness < LEAST_LIKENESS:
        return [], [
            f"raw and target have little in common (likeness {alignment.likeness:.2f}); is it the "
            f"target of another radiograph?"
        ]
    if alignment.distance > LARGEST_SHIFT:
        rows, columns = alignment.shift
        return [], [f"target is shifted against raw by {rows:+.2f} rows and {columns:+.2f} columns"]
    return [], []
