"""Which raw image belongs to which processed one.

    1. same name below folders raw/ and target/, or below two folders that the user names
    2. a processed image whose (0008,2112) Source Image Sequence names the raw one, or names an
       image that was itself derived from the raw one
    3. a processed image of the same study that names none: see `twins`
    4. no partner: a raw image without a target

A raw image is FOR PROCESSING, or has no intent (Computed Radiography has none) and names no image
that it was derived from; a compressed copy counts as its original. Header and folder tell what an
image is, never its pixels. Of two targets of one raw image the one without losses counts, else the
first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from radenhance.prepare.source import Rejected, Source


@dataclass(frozen=True)
class Case:
    """A raw radiograph, and its target where there is one.

    Args:
        raw: The raw file.
        target: The processed file; None when the reference enhancer has to make it.
        paired_by: What both have in common by which they were paired: name, source image, or one of
            `twins.EVIDENCE`; empty without a target.
    """

    raw: Source
    target: Source | None = None
    paired_by: str = ""


@dataclass(frozen=True)
class Pairing:
    """All cases of an export, and the files that are in none.

    Args:
        cases: The cases, in the order of their raw files.
        rejected: The files that are in no case, with reasons.
        unpaired: Those of them that are processed and name no raw image of the export, as they are
            among the rejected.
    """

    cases: list[Case]
    rejected: list[Rejected]
    unpaired: list[tuple[Source, Rejected]] = field(default_factory=list)


def pair_up(sources: Iterable[Source]) -> Pairing:
    """Return the cases of an export and the files in none; of equal files the first counts."""
    files, rejected = _without_copies(sources)
    first = {file.header.sop_instance_uid: file for file in reversed(files)}
    by_uid = {uid: _original(file, first) for uid, file in first.items()}
    originals = [_original(file, first) for file in files]
    rejected += [
        _rejected(file, f"is a compressed copy of {original.found.name!r}, as its header says")
        for file, original in zip(files, originals, strict=True)
        if original is not file
    ]
    files = [file for file, original in zip(files, originals, strict=True) if original is file]
    raws = [file for file in files if _is_raw(file)]
    raw_by_key = {raw.found.key: raw for raw in reversed(raws)}
    cases = {raw.sha256: Case(raw) for raw in raws}
    unpaired = []
    for file in _processed(files):
        raw, paired_by = _raw_of(file, raw_by_key, by_uid)
        if raw is None:
            rejected.append(_rejected(file, _why_no_raw(file)))
            if file.header.intent != "FOR PROCESSING":
                unpaired.append((file, rejected[-1]))
        elif (target := cases[raw.sha256].target) is not None:
            rejected.append(_rejected(file, target_already(target)))
        else:
            cases[raw.sha256] = Case(raw, file, paired_by)
    return Pairing(list(cases.values()), rejected, unpaired)


def target_already(target: Source) -> str:
    """Return why a file is not the target of its raw image, as a predicate."""
    name = target.found.name
    return f"its raw image has the target {name!r} already; use --targets to choose another"


def may_be_processed(raw: Source) -> bool:
    """Return whether what counts as raw may be a processed image of Computed Radiography.

    It says that it was derived, and not from what: so do anonymized copies of raw images.

    Args:
        raw: An image that counts as raw.
    """
    return raw.found.role is None and raw.header.intent is None and raw.header.derived


def _without_copies(sources: Iterable[Source]) -> tuple[list[Source], list[Rejected]]:
    first: dict[str, Source] = {}
    rejected = []
    for file in sources:
        original = first.setdefault(file.sha256, file)
        if original is not file:
            rejected.append(_rejected(file, f"is a copy of {original.found.name!r}"))
    return list(first.values()), rejected


def _original(file: Source, by_uid: Mapping[str, Source]) -> Source:
    """Return the image of which a file is a compressed copy, itself where it is none."""
    original, passed = file, {file.header.sop_instance_uid}
    while uids := [uid for uid in original.header.predecessor_uids if uid in by_uid]:
        if uids[0] in passed:
            return file  # they name each other, and none is the original
        passed.add(uids[0])
        original = by_uid[uids[0]]
    return original


def _is_raw(file: Source) -> bool:
    if file.found.role == "target" or file.header.intent == "FOR PRESENTATION":
        return False
    return file.header.intent == "FOR PROCESSING" or not file.header.source_uids


def _processed(files: Sequence[Source]) -> list[Source]:
    """Return the files that are not raw, in the order in which they are chosen.

    Those of a folder of targets are the user's choice.
    """
    processed = [file for file in files if not _is_raw(file)]
    return sorted(processed, key=lambda file: (file.found.role != "target", file.header.lossy))


def _raw_of(
    file: Source, raw_by_key: Mapping[str, Source], by_uid: Mapping[str, Source]
) -> tuple[Source | None, str]:
    if file.header.intent == "FOR PROCESSING":
        return None, ""
    if file.found.role == "target" and file.found.key in raw_by_key:
        return raw_by_key[file.found.key], "name"
    return _ancestor(file, by_uid), "source image"


def _ancestor(file: Source, by_uid: Mapping[str, Source]) -> Source | None:
    """Return the raw image that a file was derived from, directly or through other images."""
    waiting, seen = list(file.header.source_uids), set()
    while waiting:
        uid = waiting.pop(0)
        if uid in seen or uid not in by_uid:
            continue
        seen.add(uid)
        if _is_raw(by_uid[uid]):
            return by_uid[uid]
        waiting += by_uid[uid].header.source_uids
    return None


def _why_no_raw(file: Source) -> str:
    if file.header.intent == "FOR PROCESSING":
        return (
            "is in a folder of targets, but (0008,0068) Presentation Intent Type is FOR "
            "PROCESSING; move it to the raw files"
        )
    if file.header.source_uids:
        return "was derived from an image that is not in the export; export that one as well"
    if file.found.role == "target":
        return (
            "has no raw image: none has this name, and none is named in (0008,2112) Source Image "
            "Sequence"
        )
    return (
        "is FOR PRESENTATION, which is processed already, and its (0008,2112) Source Image "
        "Sequence names no raw image; export the raw (FOR PROCESSING) image"
    )


def _rejected(file: Source, why: str) -> Rejected:
    return Rejected(file.found.name, why, file.sha256)
