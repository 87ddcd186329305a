"""Processed images that name no raw image: to which one of their study each belongs.

(0008,2112) Source Image Sequence is optional, and many devices leave it out; anonymizers change it.
A processed image and its raw one still share study, exposure and picture:

    1. headers: the raw images of the same study, in groups, by what both headers have in common
       (`EVIDENCE`), the strongest first
    2. pixels: in the first group in which raw images show the same, as correlation tells in eight
       orientations, the one that has most in common

Images of Computed Radiography have no intent. One that was derived, as it says, and has an exposure
in common with one that was not, is its twin too, unless its pixels are those of a copy.

Headers alone decide nothing: numbers begin anew in every series, and a wrong pair would teach a
network what no device does. Where two raw images fit alike, none is taken.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from radenhance.arrays import Image
from radenhance.console import say
from radenhance.dataset.description import Declarations
from radenhance.dataset.normalize import normalize
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Header
from radenhance.dicom.read import read
from radenhance.errors import RadiographError
from radenhance.prepare.check.alignment import (
    LEAST_CORRELATION,
    likeness_by_orientation,
    reduced,
)
from radenhance.prepare.identity import unwarned
from radenhance.prepare.pairing import Case, Pairing, may_be_processed, target_already
from radenhance.prepare.parallel import in_parallel
from radenhance.prepare.source import Rejected, Source, reason

EVIDENCE = (
    "irradiation event",
    "acquisition time",
    "near acquisition time",
    "acquisition number",
    "instance number",
    "image",
)
"""What a raw image and a processed one of its study have in common, the strongest first."""

SAME_TIME_S = 1.0
NEAR_TIME_S = 30.0
"""Seconds between exposure and the image made of it, as clocks of devices have it."""
LEAST_OF_IMAGE_ALONE = 0.4
"""Correlation where headers tell no more than the study; a repeated exposure may have less."""
LEAST_LEAD = 0.1
"""Correlation that the best raw image has above the next one, or both fit alike."""
MOST_COMPARED = 48
"""Raw images compared with one processed image; anonymizers give all studies one UID."""

LEAST_PROCESSED = 0.01
"""Mean difference of a processed image from its raw one; that of a compressed copy is less."""

_Reader = Callable[[Source], Image]


@dataclass(frozen=True)
class Study:
    """The images of one study among which twins are looked for.

    Args:
        raws: The raw images.
        unpaired: Processed images that name none of them.
    """

    raws: tuple[Source, ...]
    unpaired: tuple[Source, ...]


@dataclass(frozen=True)
class _Found:
    """What was found for a processed image: a raw image, or why there is none.

    Args:
        file: The processed image.
        raw: Its raw image; None where there is none.
        evidence: Index in EVIDENCE of what both have in common.
        likeness: Their correlation.
        why: Why there is none, as a predicate.
    """

    file: Source
    raw: Source | None = None
    evidence: int = len(EVIDENCE)
    likeness: float = 0.0
    why: str = ""


def with_twins(
    pairing: Pairing, declarations: Declarations, *, num_processes: int | None = None
) -> Pairing:
    """Return a pairing in which raw images have the twins that do not name them.

    Args:
        pairing: The pairing by names and by Source Image Sequence.
        declarations: What the user declares about raw files and targets.
        num_processes: Largest number of studies to process at a time; one per core when None.
    """
    studies = _studies(pairing)
    look = partial(find_twins, declarations)
    found: list[_Found] = []
    try:
        for twins in in_parallel(
            look, studies, title="Looking for twins", unit="study", num_processes=num_processes
        ):
            found += twins
    except KeyboardInterrupt:
        say(f"stopped while twins were looked for in {len(studies)} studies; nothing was made")
        raise
    return _assigned(pairing, found)


def _assigned(pairing: Pairing, found: Iterable[_Found]) -> Pairing:
    """Return a pairing in which each raw image without a target has the best of its twins."""
    cases = {case.raw.sha256: case for case in pairing.cases}
    paired, why, processed = set(), {}, []
    for twin in sorted(found, key=_order):
        if twin.raw is None:
            why[twin.file.sha256] = twin.why
            continue
        if cases.pop(twin.file.sha256, None):  # it counted as raw
            processed.append(twin.file)
        case = cases[twin.raw.sha256]
        if case.target is not None:
            why[twin.file.sha256] = target_already(case.target)
        else:
            cases[case.raw.sha256] = Case(case.raw, twin.file, EVIDENCE[twin.evidence])
            paired.add(twin.file.sha256)
    unpaired = {rejection for _, rejection in pairing.unpaired}  # not their copies
    rejected = [
        replace(one, reason=why.get(one.sha256) or one.reason) if one in unpaired else one
        for one in pairing.rejected
        if not (one in unpaired and one.sha256 in paired)
    ]
    rejected += [
        Rejected(file.found.name, why[file.sha256], file.sha256)
        for file in processed
        if file.sha256 not in paired
    ]
    return Pairing(list(cases.values()), rejected)


def find_twins(declarations: Declarations, study: Study) -> list[_Found]:
    """Return what is found for each processed image of a study that names no raw one.

    Args:
        declarations: What the user declares about raw files and targets.
        study: The study.
    """
    with unwarned():
        # A raw image is compared with several; memory is bounded, however large a study is.
        look = partial(_thumbnail, declarations.raw, for_presentation=False)
        seen = lru_cache(MOST_COMPARED)(look)
        return [_twin_of(file, study.raws, seen, declarations.target) for file in study.unpaired]


def evidence(raw: Header, processed: Header) -> int:
    """Return the index in EVIDENCE of what two headers of one study have in common."""
    if raw.event_uid and raw.event_uid == processed.event_uid:
        return 0
    if raw.acquired_s is not None and processed.acquired_s is not None:
        apart = abs(raw.acquired_s - processed.acquired_s)
        return 1 if apart <= SAME_TIME_S else 2 if apart <= NEAR_TIME_S else len(EVIDENCE) - 1
    for index, name in ((3, "acquisition_number"), (4, "instance_number")):
        number = getattr(raw, name)
        if number is not None and number == getattr(processed, name):
            return index
    return len(EVIDENCE) - 1


def _thumbnail(declaration: Declaration, file: Source, *, for_presentation: bool) -> Image:
    image = read(file.found.path, declaration=declaration, for_presentation=for_presentation)
    return reduced(normalize(image))


def _twin_of(
    file: Source, raws: Sequence[Source], seen: _Reader, declaration: Declaration
) -> _Found:
    try:
        image = _thumbnail(declaration, file, for_presentation=True)
    except RadiographError as error:
        return _Found(file, why=reason(error, file.found.path))
    found = _most_alike(file, image, raws, seen)
    if found.raw is not None and may_be_processed(file):
        as_raw = seen(file)
        alone = found.evidence == len(EVIDENCE) - 1
        if alone or _apart(as_raw, seen(found.raw)) < LEAST_PROCESSED:
            return _Found(file)
    return found


def _apart(image: Image, other: Image) -> float:
    """Return the mean difference of two images of the same pixels; 1 where sizes differ."""
    return float(np.abs(image - other).mean()) if image.shape == other.shape else 1.0


def _most_alike(file: Source, image: Image, raws: Sequence[Source], seen: _Reader) -> _Found:
    """Return the raw image that fits a processed one, in the first group in which one does."""
    for index, group in _by_evidence(file, raws):
        if len(group) > MOST_COMPARED:
            return _Found(file, why=_why_too_many(index, len(group)))
        likeness = {raw.sha256: _likeness(raw, image, seen) for raw in group}
        least = LEAST_CORRELATION if index < len(EVIDENCE) - 1 else LEAST_OF_IMAGE_ALONE
        fitting = [raw for raw in group if likeness[raw.sha256] >= least]
        fitting.sort(key=lambda raw: -likeness[raw.sha256])
        if not fitting:
            continue
        best = likeness[fitting[0].sha256]
        alike = [raw for raw in fitting if best - likeness[raw.sha256] < LEAST_LEAD]
        if all(np.array_equal(seen(raw), seen(fitting[0])) for raw in alike):
            return _Found(file, fitting[0], index, best)
        names = " and ".join(sorted(repr(raw.found.name) for raw in alike[:2]))
        return _Found(file, why=f"fits {names} alike; put the right pair below raw/ and target/")
    return _Found(file, why=_why_none(file, raws))


def _by_evidence(file: Source, raws: Iterable[Source]) -> Iterator[tuple[int, list[Source]]]:
    groups = defaultdict(list)
    for raw in raws:
        groups[evidence(raw.header, file.header)].append(raw)
    yield from sorted(groups.items())


def _likeness(raw: Source, image: Image, seen: _Reader) -> float:
    try:
        found = likeness_by_orientation(seen(raw), image).values()
    except RadiographError:  # its case tells
        return 0.0
    return max(map(abs, found), default=0.0)


def _why_too_many(index: int, number: int) -> str:
    shared = EVIDENCE[index] if index < len(EVIDENCE) - 1 else "study"
    return (
        f"shares its {shared} with {number} raw images, more than the {MOST_COMPARED} that are "
        "compared; put it and its raw image below target/ and raw/ under one name"
    )


def _why_none(file: Source, raws: Sequence[Source]) -> str:
    index, group = next(_by_evidence(file, raws))
    if index == len(EVIDENCE) - 1 or len(group) > 1:
        return "shows what no raw image of its study shows; export its raw (FOR PROCESSING) image"
    return (
        f"has the {EVIDENCE[index]} of {group[0].found.name!r}, but shows something else, or is "
        "cropped; export both uncropped, or put the right pair below raw/ and target/"
    )


def _studies(pairing: Pairing) -> list[Study]:
    raws: dict[str, list[Source]] = defaultdict(list)
    unpaired: dict[str, list[Source]] = defaultdict(list)
    for case in pairing.cases:
        derived = case.target is None and may_be_processed(case.raw)
        (unpaired if derived else raws)[case.raw.header.study_uid].append(case.raw)
    for file, _ in pairing.unpaired:
        unpaired[file.header.study_uid].append(file)
    return [
        Study(tuple(raws[uid]), tuple(files))
        for uid, files in unpaired.items()
        if uid and uid in raws
    ]


def _order(found: _Found) -> tuple[bool, int, float]:
    """Return what decides which of two twins a raw image gets: no loss, evidence, likeness."""
    return found.file.header.lossy, found.evidence, -found.likeness
