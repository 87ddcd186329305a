"""The pixel format of a DICOM image, read once and checked: everything later relies on it."""

from dataclasses import dataclass
from logging import getLogger

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.limits import check_size

_log = getLogger(__name__)


@dataclass(frozen=True)
class PixelFormat:
    """The way in which pixels are stored (DICOM PS3.5 8.1.1).

    Args:
        rows: (0028,0010) Rows.
        columns: (0028,0011) Columns.
        allocated: (0028,0100) Bits Allocated: bits of a container, 8 or 16.
        stored: (0028,0101) Bits Stored: bits of a pixel, 1 to `allocated`.
        high_bit: (0028,0102) High Bit: the highest bit of a pixel, counted from 0.
        signed: Whether (0028,0103) Pixel Representation is two's complement.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @property
    def num_bytes(self) -> int:
        """Number of bytes of the whole uncompressed image."""
        return self.rows * self.columns * self.allocated // 8

    @property
    def offset(self) -> int:
        """The number that is added to a pixel value to get a stored value."""
        return 1 << (self.stored - 1) if self.signed else 0


def pixel_format(attributes: Attributes) -> PixelFormat:
    """Read the Image Pixel module (DICOM PS3.3 C.7.6.3).

    Args:
        attributes: The image's elements.

    Raises:
        RadiographError: An element is missing or out of range, or two contradict each other.
    """
    number = attributes.required_integer
    rows, columns = number("Rows"), number("Columns")
    check_size(attributes.path, rows, columns, names="(0028,0010) Rows x (0028,0011) Columns")
    allocated, stored = number("BitsAllocated"), number("BitsStored")
    representation = number("PixelRepresentation")
    if allocated not in (8, 16):
        raise attributes.error("BitsAllocated", f"is {allocated}, expected 8 or 16")
    if not 1 <= stored <= allocated:
        raise attributes.error(
            "BitsStored", f"is {stored}, expected 1 to {allocated} (Bits Allocated)"
        )
    high_bit = attributes.integer("HighBit")
    if high_bit is None:
        high_bit = stored - 1  # PS3.5 8.1.1 allows no other
        _log.warning("%s is missing; %d is taken", attributes.named("HighBit"), high_bit)
    if not stored - 1 <= high_bit < allocated:
        raise attributes.error("HighBit", f"is {high_bit}, expected {stored - 1} (Bits Stored - 1)")
    if representation not in (0, 1):
        raise attributes.error("PixelRepresentation", f"is {representation}, expected 0 or 1")
    return PixelFormat(rows, columns, allocated, stored, high_bit, representation == 1)
