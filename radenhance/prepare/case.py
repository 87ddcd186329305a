"""Both files of a case, made in a workshop folder under the name of what decided them.

    workshop/RECIPE.raw.dcm  RECIPE.target.png  RECIPE.json (last)

The recipe is a hash of both sources and of all settings, so that work which was interrupted goes on
where it was, and work with other settings is other work.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from radenhance.dataset.description import Declarations
from radenhance.dataset.manifest import header_columns, image_columns
from radenhance.dataset.pair import Pair
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import read
from radenhance.dicom.write import write_png
from radenhance.errors import ImageSizeError, RadiographError, UsageError
from radenhance.files import replace_file
from radenhance.prepare.deidentify import write_without_identity
from radenhance.prepare.identity import unwarned
from radenhance.prepare.pairing import Case
from radenhance.prepare.source import Rejected, Source, reason
from radenhance.prepare.target import algorithm_columns, reference_target, sha256_of
from radenhance.reference_enhancer.presets import PRESETS

MIN_SIDE_PX = 64


@dataclass(frozen=True)
class Settings:
    """What decides how a case is made.

    Args:
        rules: What the user declares about the files.
        preset: Of the reference enhancer.
        reference: Whether missing targets are made by the reference enhancer.
        anonymize: Whether copies are without identity.
        link: Whether raw and target files are hard links, where they are as they came.
    """

    rules: Declarations
    preset: str = "default"
    reference: bool = True
    anonymize: bool = False
    link: bool = False


@dataclass(frozen=True)
class Job:
    """A case to make.

    Args:
        case: Its sources.
        settings: For all cases.
        workshop: Folder for the files.
    """

    case: Case
    settings: Settings
    workshop: Path

    @property
    def recipe(self) -> str:
        """First 16 hex digits of a SHA-256 over all that decides both files."""
        settings = self.settings
        target = self.case.target
        facts = {
            "raw": self.case.raw.sha256,
            "target": "" if target is None else target.sha256,
            "rules": asdict(settings.rules),
            "preset": PRESETS[settings.preset].fingerprint(),
            "reference": settings.reference or target is not None,
            "anonymize": settings.anonymize,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Made:
    """What became of a case.

    Args:
        name: Of the raw file, as in Found.
        pair: Without a case_id, with paths in the workshop; None when the raw file is rejected.
        rejected: Its sources that cannot be used.
    """

    name: str
    pair: Pair | None
    rejected: tuple[Rejected, ...] = ()


def make_case(job: Job) -> Made:
    """Make the files of one case, or find that they were made before."""
    raw, record = job.case.raw, job.workshop / f"{job.recipe}.json"
    if (made := _made_before(raw.found.name, record)) is not None:
        return made
    rejected: list[Rejected] = []
    try:
        with unwarned():
            made = Made(raw.found.name, _make(job, rejected), tuple(rejected))
    except (RadiographError, ImageSizeError) as error:
        why = Rejected(raw.found.name, reason(error, raw.found.path), raw.sha256)
        return Made(raw.found.name, None, (*rejected, why))
    replace_file(record, json.dumps(asdict(made)).encode())
    return made


def _made_before(name: str, record: Path) -> Made | None:
    if not record.is_file():
        return None
    facts = json.loads(record.read_text())
    pair = Pair(**facts["pair"])
    files = (record.with_name(path) for path in (pair.raw_path, pair.target_path))
    if not all(file.is_file() for file in files):
        return None  # moved to its place by a run that ended right then
    return Made(name, pair, tuple(Rejected(**file) for file in facts["rejected"]))


def _make(job: Job, rejected: list[Rejected]) -> Pair:
    case, rules = job.case, job.settings.rules
    raw = _read_raw(case.raw, rules.raw)
    facts = header_columns(case.raw.header) | image_columns(raw)
    target = None
    if case.target is not None:
        target = _read_target(case.target, rules.target, raw=raw, rejected=rejected)
    if case.target is None or target is None:
        target_file = _reference(job, raw)
        facts |= algorithm_columns(job.settings.preset)
    else:
        target_file = _copied(job, case.target, "target", target)
    raw_file = _copied(job, case.raw, "raw", raw)
    return Pair(
        case_id="",
        raw_path=raw_file.name,
        target_path=target_file.name,
        split="train",
        raw_sha256=sha256_of(raw_file),
        target_sha256=sha256_of(target_file),
        source_sha256=case.raw.sha256,
        recipe=job.recipe,
        **facts,  # type: ignore[arg-type]
    )


def _read_raw(source: Source, rule: Declaration) -> Radiograph:
    raw = read(source.found.path, declaration=rule)
    if min(raw.shape) < MIN_SIDE_PX:
        raise ImageSizeError(
            f"has {raw.shape} rows and columns, expected {MIN_SIDE_PX} or more of a radiograph"
        )
    return raw


def _read_target(
    source: Source, rule: Declaration, *, raw: Radiograph, rejected: list[Rejected]
) -> Radiograph | None:
    try:
        target = read(source.found.path, declaration=rule, for_presentation=True)
        if target.shape == raw.shape:
            return target
        why = f"has {target.shape} rows and columns, its raw image {raw.shape}; crop neither"
    except RadiographError as error:
        why = reason(error, source.found.path)
    rejected.append(Rejected(source.found.name, why, source.sha256))
    return None


def _reference(job: Job, raw: Radiograph) -> Path:
    if not job.settings.reference:
        raise RadiographError("has no target, and --no-reference says that none is to be made")
    path = job.workshop / f"{job.recipe}.target.png"
    write_png(path, reference_target(raw, preset=job.settings.preset))
    return path


def _copied(job: Job, source: Source, half: str, image: Radiograph) -> Path:
    path = job.workshop / f"{job.recipe}.{half}{source.suffix}"
    if job.settings.anonymize:
        write_without_identity(path, source)
        _check_pixels_stayed(path, source, image, viewing=half == "target", job=job)
    elif job.settings.link:
        _link(source.found.path, path)
    else:
        replace_file(path, source.found.path.read_bytes())
    return path


def _check_pixels_stayed(
    path: Path, source: Source, image: Radiograph, *, viewing: bool, job: Job
) -> None:
    rule = job.settings.rules.target if viewing else job.settings.rules.raw
    try:
        copy = read(path, declaration=rule, for_presentation=viewing)
        stayed = np.array_equal(copy.pixels, image.pixels)
    except RadiographError:
        stayed = False
    if not stayed:
        raise RadiographError(
            f"{source.found.path}: without what --anonymize removes, its pixels read otherwise"
        )


def _link(source: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    try:
        os.link(source, path)
    except OSError as error:
        raise UsageError(
            f"--link: no hard link can be made from RAW to OUT ({error.strerror}); put OUT on the "
            "same disk, or leave --link out"
        ) from error
