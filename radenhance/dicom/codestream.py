"""Whether a compressed frame is whole, and the image that the header describes.

Decoders are native code written for streams that encoders make: altered ones crash some of them,
make others allocate what the stream asks for, and a stream that is cut off may be filled up with
zeros without a word. What is checked here is everything up to the entropy-coded data, and that
these end with an end marker. Standards: ISO/IEC 10918-1 B (JPEG), 14495-1 C (JPEG-LS), 15444-1 A
(JPEG 2000), DICOM PS3.5 G (RLE).

    JPEG, JPEG Lossless, JPEG-LS:  SOI  tables, SOFn  SOS  entropy-coded data  EOI
    JPEG 2000:                     SOC  SIZ COD ...  SOT  SOD data  SOT ...    EOC
    RLE:                           number of segments, 15 offsets, segments
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from radenhance.dicom.pixel_format import PixelFormat
from radenhance.errors import RadiographError

Coding = Literal["RLE", "JPEG", "JPEG Lossless", "JPEG-LS", "JPEG 2000"]

_SOI, _SOS = 0xFFD8, 0xFFDA
_DHT, _DQT, _DRI, _LSE = 0xFFC4, 0xFFDB, 0xFFDD, 0xFFF8
_COD, _COC, _SOT, _SOD, _EOC = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_COMMENTS = {0xFFFE, *range(0xFFE0, 0xFFF0)}
_FRAMES = {"JPEG": {0xFFC0, 0xFFC1}, "JPEG Lossless": {0xFFC3}, "JPEG-LS": {0xFFF7}}
_TABLES = {"JPEG": {_DHT, _DQT, _DRI}, "JPEG Lossless": {_DHT, _DRI}, "JPEG-LS": {_LSE, _DRI}}

_MAX_RECORDS = 2**18

# In entropy-coded data 0xFF is followed by 0 (JPEG), or by a byte below 0x80 (JPEG-LS).
_MARKER = {
    "JPEG": re.compile(rb"\xff[^\x00]"),
    "JPEG Lossless": re.compile(rb"\xff[^\x00]"),
    "JPEG-LS": re.compile(rb"\xff[\x80-\xff]"),
}
_RESTART_OR = {
    "JPEG": re.compile(rb"\xff[^\x00\xd0-\xd7]"),
    "JPEG Lossless": re.compile(rb"\xff[^\x00\xd0-\xd7]"),
    "JPEG-LS": re.compile(rb"\xff[\x80-\xcf\xd8-\xff]"),
}
# Behind it encoders fill up to an even length: with 0, as PS3.5 A.4 asks, with 0xFF, with a blank,
# or with what was in the buffer. The decoders do not get to see it.
_END = re.compile(rb"\xff+\xd9(?=.{0,16}\Z|(.)\1*\Z)", re.DOTALL)


class _Damaged(Exception):
    """A code stream must not be decoded; the message says why."""


def checked(frame: bytes, coding: Coding, layout: PixelFormat, path: Path) -> bytes:
    """Return a frame up to its end marker, which is safe to decode.

    Args:
        frame: The code stream.
        coding: The code stream's format.
        layout: The pixel format that the header declares.
        path: The file's name, for error messages.

    Returns:
        The frame, without what fills it up behind its end marker.

    Raises:
        RadiographError: The stream is damaged, cut off, or of another size than `layout`.
    """
    try:
        if coding == "RLE":
            _check_rle(frame, layout)
            return frame
        if coding == "JPEG 2000":
            return frame[: _end_of_jpeg_2000(frame, layout)]
        return frame[: _end_of_jpeg(frame, coding, layout)]
    except (_Damaged, struct.error, IndexError) as error:
        reason = str(error) if isinstance(error, _Damaged) else "it ends within its header"
        raise RadiographError(
            f"{path}: (7FE0,0010) Pixel Data holds a damaged {coding} code stream: {reason}"
        ) from error


def unfilled(frame: bytes, coding: Coding) -> Iterator[bytes]:
    """Yield a checked frame without one, two and three of the zeros before its end marker.

    JPEG-LS encoders fill up to an even length, or one of 4 bytes, there as well; a decoder that
    counts its bits takes these for data that are left over.
    """
    if coding != "JPEG-LS":
        return
    end = len(frame[:-1].rstrip(b"\xff"))
    for num_zeros in range(1, 4):
        if not frame.endswith(b"\0" * num_zeros, 0, end):
            return
        yield frame[: end - num_zeros] + frame[end:]


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise _Damaged(reason)


def _check_size(columns: int, rows: int, bits: int, layout: PixelFormat) -> None:
    _require(
        (rows, columns) == (layout.rows, layout.columns),
        f"it has {rows} rows and {columns} columns, the header {layout.rows} and {layout.columns}",
    )
    _require(
        1 <= bits <= layout.allocated,
        f"it has {bits} bits per pixel, the header allows {layout.allocated}",
    )


def _check_rle(frame: bytes, layout: PixelFormat) -> None:
    count, *offsets = struct.unpack("<16L", frame[:64])
    expected = layout.allocated // 8
    _require(count == expected, f"it has {count} segments, expected {expected}")
    used = [*offsets[:count], len(frame)]
    _require(used[0] == 64 and used == sorted(set(used)), "its segments overlap")
    # Two bytes make at most 128: PS3.5 G.3.2.
    _require(64 * len(frame) >= layout.num_bytes, "it is too short")


def _end_of_jpeg_2000(frame: bytes, layout: PixelFormat) -> int:
    soc, siz, length = struct.unpack(">3H", frame[:6])
    _require((soc, siz) == (0xFF4F, 0xFF51), "it does not start with SOC and SIZ")
    columns, rows, *offsets, components = struct.unpack(">LL2L2L2LH", frame[8:42])
    (tile_columns, tile_rows), offsets = offsets[2:4], offsets[:2] + offsets[4:]
    _require(length == 41 and components == 1, f"it has {components} components, expected 1")
    depth, step_x, step_y = frame[42:45]
    _require(step_x == step_y == 1, "it is subsampled")
    # An image far from the origin makes OpenJPEG allocate the way to it.
    _require(not any(offsets), "it does not start at its origin")
    _check_size(columns, rows, (depth & 0x7F) + 1, layout)
    _require(tile_columns > 0 and tile_rows > 0, "its tiles are empty")
    num_tiles = -(-columns // tile_columns) * -(-rows // tile_rows)
    _require(num_tiles <= 65535, f"it has {num_tiles} tiles")
    for marker, payload in _jpeg_2000_segments(frame):
        _require(marker != _COC, "it has a coding style for another component")
        if marker == _COD:
            _check_coding_style(payload, layout)
    # The codes hold no marker of an end, but comments may.
    end = _END.search(frame, frame.rfind(b"\xff\x93"))
    _require(end is not None, "it is cut off: no end marker")
    assert end is not None
    return end.end()


def _jpeg_2000_segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment of the main header and the tile-parts' headers."""
    position, next_part = 2, 0
    while True:
        (marker,) = struct.unpack(">H", frame[position : position + 2])
        if marker == _SOT:
            (part_bytes,) = struct.unpack(">L", frame[position + 6 : position + 10])
            next_part = position + part_bytes if part_bytes else 0  # 0: until the end
        if marker == _EOC or (marker == _SOD and not next_part):
            return
        if marker == _SOD:
            _require(position < next_part, "its tile-parts overlap")
            position = next_part
        else:
            (length,) = struct.unpack(">H", frame[position + 2 : position + 4])
            _require(marker >= 0xFF00 and length >= 2, "a segment is cut off")
            yield marker, frame[position + 4 : position + 2 + length]
            position += 2 + length


def _check_coding_style(payload: bytes, layout: PixelFormat) -> None:
    # Sizes are exponents of 2; decoders keep a record of every code-block and precinct.
    style, _, _, _, levels, width, height = struct.unpack(">BBHBBBB", payload[:8])
    _require(levels <= 32 and width + height <= 8, "its code-blocks have no valid size")
    pixels = layout.rows * layout.columns
    _require(pixels >> (width + height + 4) <= _MAX_RECORDS, "its code-blocks are too many")
    if style & 1:
        sizes = payload[10 : 11 + levels]
        _require(len(sizes) == levels + 1, "its precincts have no size")
        for smaller, size in enumerate(reversed(sizes)):
            num_precincts = (pixels >> (2 * smaller)) >> ((size & 0xF) + (size >> 4))
            _require(num_precincts <= _MAX_RECORDS, "its precincts are too many")


def _end_of_jpeg(frame: bytes, coding: Coding, layout: PixelFormat) -> int:
    _require(struct.unpack(">H", frame[:2])[0] == _SOI, "it does not start with SOI")
    seen: set[int] = set()
    bits = start = 0
    for marker, payload, end in _segments(frame):
        seen.add(marker)
        if marker in _FRAMES[coding]:
            _require(not bits, "it has two frames")
            bits = _check_frame(payload, layout)
        elif marker == _SOS:
            _require(bits > 0, "its scan has no frame")
            _check_scan(payload, coding, bits)
            start = end
            break
        elif marker in _TABLES[coding]:
            _check_table(marker, payload, coding)
        else:
            _require(marker in _COMMENTS, f"it has a marker {marker:04X}")
    return _end_of_entropy_coded(frame, start, coding, restarts=_DRI in seen)


def _segments(frame: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, payload and end of each segment; the caller stops at the scan."""
    position = 2
    while True:
        marker, length = struct.unpack(">HH", frame[position : position + 4])
        end = position + 2 + length
        _require(marker >= 0xFFC0 and length >= 2 and end <= len(frame), "a segment is cut off")
        yield marker, frame[position + 4 : end], end
        position = end


def _check_frame(payload: bytes, layout: PixelFormat) -> int:
    bits, rows, columns, components, _, sampling, _ = struct.unpack(">BHHBBBB", payload)
    _require(components == 1 and sampling == 0x11, "it is not grayscale")
    _check_size(columns, rows, bits, layout)
    return int(bits)


def _check_scan(payload: bytes, coding: Coding, bits: int) -> None:
    components, _, tables, first, last, approximation = struct.unpack(">6B", payload)
    _require(components == 1, "its scan is not grayscale")
    if coding == "JPEG":
        good = (first, last, approximation) == (0, 63, 0)
    elif coding == "JPEG Lossless":  # predictor, 0, point transform
        good = first in range(1, 8) and last == 0 and approximation < min(bits, 16)
    else:  # NEAR, interleaving, point transform
        good = first <= ((1 << bits) - 1) // 2 and last == approximation == tables == 0
    _require(good, "its scan has parameters out of range")


def _check_table(marker: int, payload: bytes, coding: Coding) -> None:
    if marker == _DHT:
        _check_huffman(payload, lossless=coding == "JPEG Lossless")
    elif marker == _DRI:
        _require(len(payload) == 2, "its restart interval is malformed")
    elif marker == _LSE:
        kind, maximum, *thresholds, _ = struct.unpack(">B5H", payload)
        _require(kind == 1, "it has a mapping table")
        _require(
            thresholds == sorted(thresholds) and thresholds[2] <= maximum,
            "its thresholds are out of order",
        )


def _check_huffman(payload: bytes, *, lossless: bool) -> None:
    while payload:
        kind, counts = payload[0], payload[1:17]
        num_codes = sum(counts)
        symbols = payload[17 : 17 + num_codes]
        codes = sum(count << (16 - length) for length, count in enumerate(counts, start=1))
        _require(
            kind & 0xF < 4
            and kind >> 4 < (1 if lossless else 2)
            and len(counts) == 16
            and 1 <= num_codes == len(symbols)
            and codes <= 1 << 16
            and (not lossless or max(symbols) <= 16),
            "a Huffman table is not one",
        )
        payload = payload[17 + num_codes :]


def _end_of_entropy_coded(frame: bytes, start: int, coding: Coding, *, restarts: bool) -> int:
    pattern = (_RESTART_OR if restarts else _MARKER)[coding]
    marker = pattern.search(frame, start)
    end = marker and _END.match(frame, marker.start())
    _require(bool(end), "it is cut off, or a marker is in the middle of it")
    assert end is not None
    return end.end()
