"""Files of a clinic's export, recognised by their content.

Exports name files as they like, often without a suffix, and mix radiographs with viewers, reports
and other modalities. Only what a file begins with, and what its header declares, is believed.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from radenhance.dataset.manifest import RADIOGRAPH_SUFFIXES
from radenhance.dataset.species import species_of
from radenhance.dicom.attributes import Attributes, or_unknown
from radenhance.dicom.dicom_file import START_BYTES, looks_like_dicom, parse
from radenhance.dicom.facts import header_facts
from radenhance.dicom.image_file import image_format
from radenhance.dicom.projection import check_projection
from radenhance.dicom.radiograph import Header
from radenhance.dicom.read import opened, read_header
from radenhance.errors import RadiographError
from radenhance.folders import entries_below
from radenhance.prepare.identity import identity_words, unwarned
from radenhance.prepare.target import sha256_of

Role = Literal["raw", "target"]
"""What a file is in its pair."""

_SUFFIX = {"PNG": ".png", "TIFF": ".tif", "NPY": ".npy"}


@dataclass(frozen=True)
class FoundFile:
    """A file of an export, not yet opened.

    Args:
        path: Path of the file.
        name: Path relative to the folder that was searched, with forward slashes.
        role: The role that the file's folder tells; None when it tells none.
        problem: Why there is no file to open, as a predicate; empty where there is one.
    """

    path: Path
    name: str
    role: Role | None = None
    problem: str = ""

    @property
    def key(self) -> str:
        """What both files of a pair share: the name, without suffix and folders raw and target."""
        *folders, name = PurePosixPath(self.name).parts
        stem, suffix = os.path.splitext(name)
        stem = stem if suffix.lower() in RADIOGRAPH_SUFFIXES else name
        kept = [folder for folder in folders if folder.lower() not in ("raw", "target")]
        return "/".join([*kept, stem])


@dataclass(frozen=True)
class Source:
    """A radiograph of an export whose header was read and whose pixels were not.

    Args:
        found: The file.
        sha256: SHA-256 of the file, in hex.
        suffix: Suffix that fits the content: .dcm, .png, .tif or .npy.
        header: Header of the file.
        identity: Words of the header that identify a patient or an owner.
    """

    found: FoundFile
    sha256: str
    suffix: str
    header: Header
    identity: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rejected:
    """A file that is in no pair, and why.

    Args:
        name: Name as in `FoundFile`.
        reason: The reason in one sentence, without the name.
        sha256: SHA-256 of the file, to find it by when its name was blacked out.
    """

    name: str
    reason: str
    sha256: str = ""


def find_files(
    folder: Path, *, role: Role | None = None, leave_out: Iterable[Path]
) -> list[FoundFile]:
    """Return all that lies below a folder in the order of names, except what is hidden.

    Args:
        folder: The folder to search.
        role: The role of all files; when None, their folders called raw and target tell it.
        leave_out: Folders that are not searched.
    """
    files = [
        FoundFile(entry.path, entry.path.relative_to(folder).as_posix(), role, entry.problem)
        for entry in entries_below(folder, leave_out=list(leave_out))
    ]
    files.sort(key=lambda file: file.name)
    return files if role else [replace(file, role=_role_by_folder(file.name)) for file in files]


def identify(found: FoundFile) -> Source | Rejected:
    """Read a file's header and hash it; a file that is no radiograph is rejected."""
    with unwarned():
        return _identify(found)


def _identify(found: FoundFile) -> Source | Rejected:
    if found.problem:
        return Rejected(found.name, found.problem)
    try:
        with opened(found.path) as file:
            start = file.read(START_BYTES)
            if not looks_like_dicom(start):
                header = read_header(found.path)
                suffix = _SUFFIX[str(image_format(start))]
                return Source(found, sha256_of(found.path), suffix, header)
            dicom = parse(found.path, file)
        attributes, header = dicom.attributes, header_facts(dicom.attributes, dicom.syntax)
        check_projection(attributes)
    except RadiographError as error:
        return Rejected(found.name, reason(error, found.path), _hash_if_readable(found.path))
    species = species_of(header.species, codes=_species_codes(attributes))
    return Source(
        found,
        sha256_of(found.path),
        ".dcm",
        replace(header, species=species),
        identity_words(attributes),
    )


def reason(error: Exception, path: Path) -> str:
    """Return an error's message without the path that it begins with, and the name in quotes."""
    return str(error).removeprefix(f"{path}: ").replace(str(path), repr(path.name))


def _role_by_folder(name: str) -> Role | None:
    for folder in PurePosixPath(name.lower()).parts[:-1]:
        if folder == "raw":
            return "raw"
        if folder == "target":
            return "target"
    return None


def _species_codes(attributes: Attributes) -> list[str]:
    items = or_unknown(attributes.items, "PatientSpeciesCodeSequence", ())
    return [or_unknown(item.text, "CodeValue", "") for item in items]


def _hash_if_readable(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""
