"""The elements of a DICOM dataset, each as the type that it must have.

pydicom converts an element on first access, and malformed bytes surface there as one of a dozen
exceptions, or as a list, a string or bytes where a number should be. This is the only module that
accesses elements.
"""

import math
from collections.abc import Callable
from logging import getLogger
from pathlib import Path
from typing import TypeVar

from pydicom import Dataset
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from radenhance.errors import RadiographError

_log = getLogger(__name__)
_T = TypeVar("_T")
_U = TypeVar("_U")

_PATIENT_GROUP = 0x0010


def tag_name(keyword: str) -> str:
    """Return an element's tag and name, such as `(0028,0010) Rows`."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"({tag.group:04X},{tag.element:04X}) {dictionary_description(tag)}"


class Attributes:
    """Typed access to one dataset: the image, or one item of a sequence.

    Every method raises RadiographError, which names file and tag, when the element has another type
    than the method's. An element that is absent and one that is empty are the same.

    Args:
        dataset: The dataset that pydicom parsed.
        path: The dataset's file, for error messages.
        big_endian: Whether values that pydicom leaves as bytes are big endian.
    """

    def __init__(self, dataset: Dataset, path: Path, *, big_endian: bool):
        self.path = path
        self.big_endian = big_endian
        self._dataset = dataset

    def error(
        self, keyword: str, complaint: str, kind: type[RadiographError] = RadiographError
    ) -> RadiographError:
        """Return an error of a kind about one element, to be raised by the caller."""
        return kind(f"{self.named(keyword)} {complaint}")

    def named(self, keyword: str) -> str:
        """Return file, tag and name of an element, for a message."""
        return f"{self.path}: {tag_name(keyword)}"

    def value(self, keyword: str) -> object:
        """Return the value as pydicom converts it, None when absent or empty."""
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in self._dataset:
            return None
        try:
            value = self._dataset[tag].value
        except Exception as error:
            # Any of struct.error, ValueError, TypeError, KeyError, AttributeError, UnicodeError,
            # NotImplementedError, RecursionError and pydicom's own: test_read_fuzz.py meets them.
            raise self.error(keyword, "has a value that its type does not allow") from error
        # An empty list of numbers is a MultiValue, an empty sequence a Sequence.
        empty = value is None or (hasattr(value, "__len__") and len(value) == 0)
        return None if empty else value

    def text(self, keyword: str) -> str:
        r"""Return a text without padding, "" when absent; several values stay joined by `\`."""
        value = self.value(keyword)
        if value is None:
            return ""
        parts = value if isinstance(value, MultiValue) else [value]
        if not all(isinstance(part, str | PersonName) for part in parts):
            raise self._wrong(keyword, value, "text")
        return "\\".join(str(part).strip("\0 ") for part in parts)

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return all values of a numeric element, () when absent."""
        value = self.value(keyword)
        if value is None:
            return ()
        parts = value if isinstance(value, MultiValue | list) else [value]
        numbers = []
        for part in parts:
            try:
                number = float(part)  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError) as error:
                raise self._wrong(keyword, value, "numbers") from error
            if isinstance(part, bytes) or not math.isfinite(number):
                raise self._wrong(keyword, value, "finite numbers")
            numbers.append(number)
        return tuple(numbers)

    def number(self, keyword: str) -> float | None:
        """Return the value of an element that has one, None when absent."""
        numbers = self.numbers(keyword)
        if len(numbers) > 1:
            raise self.error(keyword, f"has {len(numbers)} values, expected one")
        return numbers[0] if numbers else None

    def integers(self, keyword: str) -> tuple[int, ...]:
        """Return all values of an element of whole numbers, () when absent."""
        numbers = self.numbers(keyword)
        if any(number != int(number) for number in numbers):
            raise self._wrong(keyword, numbers, "whole numbers")
        return tuple(int(number) for number in numbers)

    def integer(self, keyword: str) -> int | None:
        """Return the value of an element that has one whole number, None when absent."""
        number = self.number(keyword)
        if number is not None and number != int(number):
            raise self._wrong(keyword, number, "a whole number")
        return None if number is None else int(number)

    def required_integer(self, keyword: str) -> int:
        """Return the whole number of an element that must be there."""
        value = self.integer(keyword)
        if value is None:
            raise self.error(keyword, "is missing or empty; without it the pixels have no meaning")
        return value

    def items(self, keyword: str) -> tuple["Attributes", ...]:
        """Return the items of a sequence, () when absent."""
        value = self.value(keyword)
        if value is None:
            return ()
        if not isinstance(value, Sequence):
            raise self._wrong(keyword, value, "a sequence")
        return tuple(Attributes(item, self.path, big_endian=self.big_endian) for item in value)

    def _wrong(self, keyword: str, value: object, expected: str) -> RadiographError:
        # Elements of the patient are never shown: messages end up in logs.
        patient = Tag(tag_for_keyword(keyword) or 0).group == _PATIENT_GROUP
        got = "a value of another type" if patient else f"{value!r:.60}"
        return self.error(keyword, f"is {got}, expected {expected}")


def or_unknown(read: Callable[[str], _T], keyword: str, unknown: _U) -> _T | _U:
    """Return what `read` makes of an optional element; if that fails, log it and return `unknown`.

    Unlike a wrong number of rows, a wrong view position is no reason to refuse an image.
    """
    try:
        return read(keyword)
    except RadiographError as error:
        _log.warning("%s; taken as unknown", error)
        return unknown
