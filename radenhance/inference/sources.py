"""The files that somebody wants enhanced, looked at without reading their pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radenhance.dicom.attributes import Attributes, or_unknown
from radenhance.dicom.dicom_file import DicomFile, parse
from radenhance.dicom.facts import header_facts
from radenhance.dicom.projection import check_projection
from radenhance.dicom.provenance import written_by_radenhance
from radenhance.dicom.read import kind_of, opened
from radenhance.dicom.write import is_ours
from radenhance.errors import NoRadiographError, RadiographError, UsageError
from radenhance.folders import why_no_file
from radenhance.inference.naming import key_of
from radenhance.prepare.identity import identity_words, unwarned
from radenhance.prepare.source import FoundFile, find_files


@dataclass(frozen=True)
class Candidate:
    """A file that may be a raw radiograph.

    Args:
        found: The file.
        key: Its key, as `naming.key_of` gives it.
        words: Words of its header that identify somebody.
        error: Why it cannot be enhanced, if its header or first bytes say so.
    """

    found: FoundFile
    key: str
    words: frozenset[str] = frozenset()
    error: RadiographError | None = None


def files_of(inputs: Sequence[Path], *, leave_out: Path) -> list[FoundFile]:
    """Return all files that inputs name, those of a folder in the order of their names.

    Args:
        inputs: Files and folders.
        leave_out: A folder that is not searched, such as that of the outputs.

    Raises:
        UsageError: One does not exist, or is the folder to leave out.
    """
    files: dict[Path, FoundFile] = {}
    for path in inputs:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder; name radiographs or their folder")
        if path.is_dir() and path.resolve() == leave_out.resolve():
            raise UsageError(
                f"{path} is where the enhanced images go; choose another folder for them"
            )
        found = (
            find_files(path, leave_out=[leave_out])
            if path.is_dir()
            else [FoundFile(path, path.name, problem=why_no_file(path))]
        )
        for file in found:
            files.setdefault(file.path.resolve(), file)
    return list(files.values())


def look_at(found: FoundFile) -> Candidate:
    """Return what a file's header says; one that is no raw radiograph has an error."""
    if found.problem:
        problem = RadiographError(f"{found.path}: {found.problem}")
        return Candidate(found, key_of(found.name, ""), error=problem)
    try:
        with unwarned(), opened(found.path) as file:
            if kind_of(found.path, file) != "DICOM":
                return _candidate_of_image(found)
            return _candidate_of_dicom(found, parse(found.path, file))
    except RadiographError as error:
        return Candidate(found, key_of(found.name, ""), error=error)


def words_of(candidates: Sequence[Candidate]) -> frozenset[str]:
    """Return the words of all headers that identify somebody."""
    return frozenset[str]().union(*(candidate.words for candidate in candidates))


def check_raw(dicom: DicomFile) -> None:
    """Refuse an image that was processed for presentation already, above all one of ours.

    Raises:
        NoRadiographError: It is one.
    """
    attributes = dicom.attributes
    if written_by_radenhance(dicom.header):
        raise NoRadiographError(f"{attributes.path}: radenhance made this image")
    if header_facts(attributes).intent == "FOR PRESENTATION":
        raise attributes.error(
            "PresentationIntentType",
            "is FOR PRESENTATION: processed already, expected FOR PROCESSING",
            NoRadiographError,
        )


def _candidate_of_image(found: FoundFile) -> Candidate:
    if is_ours(found.path):
        raise NoRadiographError(f"{found.path}: radenhance made this image")
    return Candidate(found, key_of(found.name, ""))


def _candidate_of_dicom(found: FoundFile, dicom: DicomFile) -> Candidate:
    attributes = dicom.attributes
    words = identity_words(attributes)
    key = key_of(found.name, _text(attributes, "SOPInstanceUID"))
    try:
        check_projection(attributes)
        check_raw(dicom)
    except RadiographError as error:
        return Candidate(found, key, words, error=error)
    return Candidate(found, key, words)


def _text(attributes: Attributes, keyword: str) -> str:
    return or_unknown(attributes.text, keyword, "")
