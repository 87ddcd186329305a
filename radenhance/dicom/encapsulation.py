"""The compressed bytes of a single frame (DICOM PS3.5 A.4).

    item       Basic Offset Table, perhaps empty
    item       fragment of the frame   \
    item       ...                      } joined
    delimiter                          /

Fragments are read here, rather than by pydicom, because a file that ends in the middle of one must
be refused, and pydicom takes what is there.
"""

import struct

from radenhance.dicom.dicom_file import DicomFile

_ITEM = (0xFFFE, 0xE000)
_DELIMITER = (0xFFFE, 0xE0DD)

# No coder doubles its input, and one that sends more for a frame than the frame is worth is not
# decoded. The rest is for headers of the code stream.
_MAX_EXPANSION = 2
_MAX_EXTRA_BYTES = 2**16


def read_frame(dicom: DicomFile, num_bytes: int) -> bytes:
    """Read the fragments at the file's position.

    Args:
        dicom: The file, positioned at the first byte of Pixel Data.
        num_bytes: Number of bytes of the decoded frame.

    Returns:
        The code stream.

    Raises:
        RadiographError: The items are malformed, cut off, or more than the frame can need.
    """
    file, attributes = dicom.file, dicom.attributes
    file.allow(_MAX_EXPANSION * num_bytes + _MAX_EXTRA_BYTES)
    items: list[bytes] = []
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise attributes.error("PixelData", f"is cut off after {len(items)} items")
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == _DELIMITER:
            break
        if (group, element) != _ITEM:
            raise attributes.error(
                "PixelData", f"holds ({group:04X},{element:04X}) where an item is expected"
            )
        item = file.read(length)
        if len(item) < length:
            raise attributes.error(
                "PixelData", f"is cut off: an item has {len(item)} of {length} bytes"
            )
        items.append(item)
    frame = b"".join(items[1:])
    if not frame:
        raise attributes.error("PixelData", "holds no compressed frame")
    return frame
