"""Both files of a case, made in a work folder under the name of what decided them.

    work folder/RECIPE.raw.dcm  RECIPE.target.png  RECIPE.json (last)

The recipe is a hash of both sources and of all settings. An interrupted run therefore continues
where it stopped, and a run with other settings never takes the files of this one for its own.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from radenhance.arrays import Image, Points
from radenhance.dataset.description import Declarations
from radenhance.dataset.manifest import header_columns, image_columns
from radenhance.dataset.normalize import exposed_field, normalize
from radenhance.dataset.pair import Pair
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import read
from radenhance.dicom.write import write_png
from radenhance.errors import ImageSizeError, RadiographError, UsageError
from radenhance.files import replace_file
from radenhance.prepare.deidentify import write_without_identity
from radenhance.prepare.geometry import fault_of_geometry, placement_of, what_to_undo
from radenhance.prepare.identity import unwarned
from radenhance.prepare.outside import outside_of
from radenhance.prepare.pairing import Case
from radenhance.prepare.source import Rejected, Role, Source, reason
from radenhance.prepare.target import algorithm_columns, reference_target, sha256_of
from radenhance.reference_enhancer.presets import PRESETS

_Target = tuple[Path, Image]
"""A file, and what it shows, in [0, 1]."""

_UNDOING = ("turn_targets", "register_targets")
"""Settings that undo how a target lies."""

MIN_SIDE_PX = 64
"""Smallest number of rows and columns in pixels of what is taken for a radiograph."""


@dataclass(frozen=True)
class Settings:
    """The settings that decide how cases are made.

    Args:
        declarations: What the user declares about raw files and targets.
        preset: Name of a preset of the reference enhancer.
        reference: Whether the reference enhancer makes the targets that are missing.
        anonymize: Whether identities are removed from the copies.
        link: Whether raw files and targets are hard links in place of copies.
        turn_targets: Whether targets that are turned or mirrored are turned back, as PNG.
        register_targets: Whether targets that are shifted are moved back, as PNG.
        search_twins: Whether processed images that name no raw image are looked at.
        lossy: Whether raw images are taken whose compression lost something.
    """

    declarations: Declarations
    preset: str = "default"
    reference: bool = True
    anonymize: bool = False
    link: bool = False
    turn_targets: bool = False
    register_targets: bool = False
    search_twins: bool = True
    lossy: bool = True

    def __post_init__(self) -> None:
        """Refuse to change the files of the clinic, which a hard link shares."""
        if self.anonymize and self.link:
            raise UsageError("--anonymize changes files and --link does not copy them; choose one")


@dataclass(frozen=True)
class CaseJob:
    """The work of making one case, as a worker process receives it.

    Args:
        case: The raw file and, where there is one, its target.
        settings: The settings of all cases.
        work_folder: The folder to write both files into.
    """

    case: Case
    settings: Settings
    work_folder: Path

    @property
    def recipe(self) -> str:
        """The first 16 hex digits of a SHA-256 over all that decides both files."""
        return self._recipe({name for name in _UNDOING if getattr(self.settings, name)})

    def is_made_by(self, recipe: str) -> bool:
        """Return whether files of a recipe will do: those of this one, or with more undone.

        Args:
            recipe: The recipe that the files were made by.
        """
        undone = {name for name in _UNDOING if getattr(self.settings, name)}
        return any(
            recipe == self._recipe(undone | {*more})
            for number in range(len(_UNDOING) + 1)
            for more in combinations(_UNDOING, number)
        )

    def _recipe(self, undone: set[str]) -> str:
        settings = self.settings
        target = self.case.target
        facts = {
            "raw": self.case.raw.sha256,
            "target": "" if target is None else target.sha256,
            "rules": {  # the keys are part of the hash
                "raw": asdict(settings.declarations.raw),
                "target": asdict(settings.declarations.target),
            },
            "preset": PRESETS[settings.preset].fingerprint(),
            "reference": settings.reference or target is not None,
            "anonymize": settings.anonymize,
        }
        facts |= dict.fromkeys(undone, True)  # only those, so that earlier recipes stay
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class MadeCase:
    """The result of making one case.

    Args:
        name: Name of the raw file, as in `FoundFile`.
        pair: Line of the manifest, still without a case id and with paths in the work folder; None
            when the raw file is rejected.
        rejected: Files of the case that cannot be used.
    """

    name: str
    pair: Pair | None
    rejected: tuple[Rejected, ...] = ()


def make_case(job: CaseJob) -> MadeCase:
    """Make the files of one case, unless an earlier run has made them already."""
    raw, record = job.case.raw, job.work_folder / f"{job.recipe}.json"
    if (made := _made_before(raw.found.name, record)) is not None:
        return made
    rejected: list[Rejected] = []
    try:
        with unwarned():
            made = MadeCase(raw.found.name, _make(job, rejected), tuple(rejected))
    except (RadiographError, ImageSizeError) as error:
        why = Rejected(raw.found.name, reason(error, raw.found.path), raw.sha256)
        return MadeCase(raw.found.name, None, (*rejected, why))
    replace_file(record, json.dumps(asdict(made)).encode())
    return made


def _made_before(name: str, record: Path) -> MadeCase | None:
    if not record.is_file():
        return None
    facts = json.loads(record.read_text())
    pair = Pair(**facts["pair"])
    files = (record.with_name(path) for path in (pair.raw_path, pair.target_path))
    if not all(file.is_file() for file in files):
        return None  # a run moved them to their place and was ended before it wrote the manifest
    return MadeCase(name, pair, tuple(Rejected(**file) for file in facts["rejected"]))


def _make(job: CaseJob, rejected: list[Rejected]) -> Pair:
    case = job.case
    if case.raw.header.lossy and not job.settings.lossy:
        raise RadiographError("went through a compression that loses, which --no-lossy refuses")
    raw = _read_raw(case.raw, job.settings.declarations.raw)
    facts = header_columns(case.raw.header) | image_columns(raw)
    seen = normalize(raw)
    field = exposed_field(raw, seen)
    given = _given_target(job, seen, rejected)
    target_file, target = _reference_target(job, raw, field) if given is None else given
    if given is None:
        facts |= algorithm_columns(job.settings.preset)
    else:
        facts["paired_by"] = case.paired_by
    raw_file = _copy(job, case.raw, "raw", raw)
    return Pair(
        case_id="",
        raw_path=raw_file.name,
        target_path=target_file.name,
        split="train",
        raw_sha256=sha256_of(raw_file),
        target_sha256=sha256_of(target_file),
        source_sha256=case.raw.sha256,
        outside_field=outside_of(field, target),
        recipe=job.recipe,
        **facts,  # type: ignore[arg-type]
    )


def _read_raw(source: Source, declaration: Declaration) -> Radiograph:
    raw = read(source.found.path, declaration=declaration)
    if min(raw.shape) < MIN_SIDE_PX:
        raise ImageSizeError(
            f"has {raw.shape} rows and columns, expected {MIN_SIDE_PX} or more of a radiograph"
        )
    if raw.pixels.min() == raw.pixels.max():
        raise RadiographError(
            f"shows nothing: every pixel has the value {raw.pixels.min()}; export it anew"
        )
    return raw


def _given_target(job: CaseJob, seen: Image, rejected: list[Rejected]) -> _Target | None:
    """Copy the target of a person or a device; None where there is none that can be used.

    Args:
        job: The case.
        seen: Its raw image, in [0, 1].
        rejected: Gets the target, with the reason, where it cannot be used.
    """
    source = job.case.target
    if source is None:
        return None
    try:
        target = read(
            source.found.path,
            declaration=job.settings.declarations.target,
            for_presentation=True,
        )
        shown, settings = normalize(target), job.settings
        placement = placement_of(seen, shown)
        wrong = fault_of_geometry(seen.shape, shown.shape, placement)
        if placement is not None and not wrong:
            if not (placement.is_turned or placement.is_shifted):
                return _copy(job, source, "target", target), shown
            wrong = what_to_undo(
                placement, turn=settings.turn_targets, register=settings.register_targets
            )
            if not wrong:
                return _written(job, placement.undone(shown))
    except RadiographError as error:
        wrong = reason(error, source.found.path)
    rejected.append(Rejected(source.found.name, wrong, source.sha256))
    return None


def _reference_target(job: CaseJob, raw: Radiograph, field: Points) -> _Target:
    if not job.settings.reference:
        raise RadiographError("has no target, and with --no-reference none is made for it")
    return _written(job, reference_target(raw, preset=job.settings.preset, field=field))


def _written(job: CaseJob, target: Image) -> _Target:
    path = job.work_folder / f"{job.recipe}.target.png"
    write_png(path, target)
    return path, target


def _copy(job: CaseJob, source: Source, role: Role, image: Radiograph) -> Path:
    path = job.work_folder / f"{job.recipe}.{role}{source.suffix}"
    if job.settings.anonymize:
        write_without_identity(path, source)
        declarations = job.settings.declarations
        declaration = declarations.target if role == "target" else declarations.raw
        _check_same_pixels(path, source, image, role, declaration)
    elif job.settings.link:
        _link(source.found.path, path)
    else:
        replace_file(path, source.found.path.read_bytes())
    return path


def _check_same_pixels(
    path: Path, source: Source, image: Radiograph, role: Role, declaration: Declaration
) -> None:
    try:
        copy = read(path, declaration=declaration, for_presentation=role == "target")
        same = np.array_equal(copy.pixels, image.pixels)
    except RadiographError:
        same = False
    if not same:
        raise RadiographError(
            f"{source.found.path}: once --anonymize has removed its texts, its pixels read as "
            "other values; declare in dataset.yaml what its header said, or leave --anonymize out"
        )


def _link(source: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    try:
        os.link(source, path)
    except OSError as error:
        raise UsageError(
            f"--link cannot make a hard link from RAW to OUT ({error.strerror}); choose an OUT on "
            "the disk of RAW, or leave --link out"
        ) from error
