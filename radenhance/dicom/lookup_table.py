"""Lookup tables of a DICOM header (PS3.3 C.11.1.1 and C.11.2.1.1)."""

from dataclasses import dataclass
from logging import getLogger

import numpy as np
import numpy.typing as npt

from radenhance.dicom.attributes import Attributes

_log = getLogger(__name__)


@dataclass(frozen=True)
class LookupTable:
    """A table of whole numbers.

    Args:
        entries: The outputs, uint16, in [0, 2**bits - 1].
        first: The input that is mapped to the first entry. Smaller inputs are mapped to it too,
            and inputs beyond the end to the last entry.
        bits: Declared bits of an entry, 8 to 16.
    """

    entries: npt.NDArray[np.uint16]
    first: int
    bits: int

    def __call__(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
        """Return the entries at `values`, which are rounded."""
        # Clipped as floating point: a rescaled value may be beyond any integer.
        index = np.clip(np.rint(values - self.first), 0, self.entries.size - 1)
        return self.entries[index.astype(np.int64)]

    @property
    def inverts(self) -> bool:
        """Whether high inputs are mapped to low entries, by the table's ends."""
        return bool(self.entries[-1] < self.entries[0])


def filled_items(attributes: Attributes, sequence: str) -> list[Attributes]:
    """Return the items of a Modality or VOI LUT Sequence that hold a table.

    Devices write the sequence with an item in which nothing stands; viewers pass it over.

    Args:
        attributes: The image's elements.
        sequence: The keyword of the sequence.

    Raises:
        RadiographError: The sequence is none.
    """
    items = attributes.items(sequence)
    parts = ("LUTDescriptor", "LUTData")
    filled = [item for item in items if any(item.value(part) is not None for part in parts)]
    if len(filled) < len(items):
        _log.warning("%s: an item without a table is ignored", attributes.named(sequence))
    return filled


def lookup_table(item: Attributes, *, signed: bool) -> LookupTable:
    """Read the table of one item of a Modality or VOI LUT Sequence.

    Args:
        item: The sequence's item.
        signed: Whether the table's inputs may be negative.

    Raises:
        RadiographError: Descriptor or data are missing, malformed, or do not fit each other.
    """
    descriptor = item.integers("LUTDescriptor")
    if len(descriptor) != 3:
        raise item.error("LUTDescriptor", f"has {len(descriptor)} values, expected 3")
    count, first, bits = descriptor
    # 0 stands for 65536; a count above 32767 comes out negative where it is read as signed.
    count = count % 2**16 or 2**16
    if not 8 <= bits <= 16:
        raise item.error("LUTDescriptor", f"declares {bits} bits per entry, expected 8 to 16")
    if signed and first >= 2**15:
        first -= 2**16
    entries = _entries(item, count, bits)
    if entries.max() >= 1 << bits:
        raise item.error(
            "LUTData", f"has an entry of {entries.max()}, but {bits} bits are declared"
        )
    return LookupTable(entries, first, bits)


def _entries(item: Attributes, count: int, bits: int) -> npt.NDArray[np.uint16]:
    data = item.value("LUTData")
    order = ">" if item.big_endian else "<"
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2").astype(np.uint16)
    else:
        words = (np.asarray(item.integers("LUTData"), np.int64) % 2**16).astype(np.uint16)
    if words.size == count:
        return words
    if bits == 8 and words.size == (count + 1) // 2:  # two entries in a word, the low byte first
        return words.astype("<u2").view(np.uint8)[:count].astype(np.uint16)
    raise item.error("LUTData", f"has {words.size} words, expected {count}")
