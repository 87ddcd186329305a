"""Words that identify a patient or an owner, collected to keep them out of all that is written.

Clinics name folders and files after patients, and errors name files. What is known to be a name in
any header of an export is blacked out in every text about that export.
"""

import logging
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from radenhance.dataset.species import SPECIES, plain, species_of
from radenhance.dicom.attributes import Attributes, or_unknown

BLACK = "***"

_NAMES = (
    "PatientName",
    "OtherPatientNames",
    "PatientMotherBirthName",
    "ResponsiblePerson",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "OperatorsName",
)
_NUMBERS_AND_PLACES = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyID",
    "DeviceSerialNumber",
    "ResponsibleOrganization",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "StationName",
)
_COMMON = re.compile(
    "animals?|care|cent(er|re)|clinic|department|detector|equine|files?|folder|from|hospital|"
    "images?|imaging|klinik|large|pets|pixels|practice|praxis|radiograph|radiology|room|service|"
    "small|target|tierklinik|university|veterinary|with|xray"
)
"""Words in the names of places that stand in other texts as well, and identify nobody."""

_DATE = re.compile(
    r"(?<![\d.])(?:(?:19|20)\d\d([-._]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"|\d{1,2}([-._])\d{1,2}\2(?:19|20)\d\d)(?![\d]|\.\d)"
)
_QUOTED = re.compile("'[^']*(?:'|$)|\"[^\"]*(?:\"|$)")  # a long value is cut off with its quote
_SHORTEST_NAME = 3
_SHORTEST_PART = 4  # letters of a name inside a longer word, and digits of a number


@contextmanager
def unwarned() -> Iterator[None]:
    """Silence the warnings of DICOM readers, which quote file names and values of elements.

    Errors are raised as ever.
    """
    loggers = [logging.getLogger(name) for name in ("radenhance.dicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def identity_words(attributes: Attributes) -> frozenset[str]:
    """Return the names and numbers of a header, without accents and in lower case."""
    names, numbers = (
        {word for keyword in keywords for word in _words(attributes, keyword)}
        for keywords in (_NAMES, _NUMBERS_AND_PLACES)
    )
    found = {word for word in names if len(word) >= _SHORTEST_NAME}
    found |= {word for word in numbers if len(word) >= _SHORTEST_PART}
    # The word cat identifies no one, even where an animal is called Cat.
    return frozenset(
        word for word in found if species_of(word) not in SPECIES and not _COMMON.fullmatch(word)
    )


def blacked_out(text: str, words: Collection[str]) -> str:
    """Return a text with *** in place of dates, and of every word that contains one of `words`.

    Args:
        text: Any text, such as a path or an error about it.
        words: The words to black out, as `identity_words` returns them.
    """
    parts = re.split(r"([\W_]+)", _DATE.sub(BLACK, text))
    return "".join(BLACK if _holds(plain(part), words) else part for part in parts)


def masked(sentence: str, words: Collection[str]) -> str:
    """Return a sentence of ours with *** for what identifies somebody in all that it quotes.

    Sentences about files quote what is not theirs: values of elements, and names of other files.
    The rest is ours, though a patient may be called Lut and an owner Field.

    Args:
        sentence: Why a file was rejected.
        words: The words to black out, as `identity_words` returns them.
    """
    return _QUOTED.sub(lambda quoted: blacked_out(quoted[0], words), _DATE.sub(BLACK, sentence))


def _words(attributes: Attributes, keyword: str) -> list[str]:
    return re.findall(r"[^\W_]+", plain(or_unknown(attributes.text, keyword, "")))


def _holds(word: str, words: Collection[str]) -> bool:
    starts = range(len(word) - _SHORTEST_PART + 1)
    return word in words or any(
        word[start:end] in words
        for start in starts
        for end in range(start + _SHORTEST_PART, len(word) + 1)
    )
