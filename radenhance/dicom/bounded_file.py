"""Files that return no more bytes than an allowance.

pydicom reads as many bytes as a header asks for, and inflates a deflated dataset as a whole. An
element length of 4 GB, or 1 MB of deflated zeros, would decide how much memory reading takes. Here
the reader decides: a fixed amount for the header, and then as much as the image needs.
"""

import io
import zlib
from pathlib import Path
from typing import BinaryIO

from radenhance.errors import RadiographError

_CHUNK_BYTES = 2**16


class InflatedFile:
    """The dataset of Deflated Explicit VR Little Endian, inflated only as far as it is read.

    DICOM PS3.5 A.5: a raw RFC 1951 stream. Seeking goes back to what was read, never ahead of it.

    Args:
        deflated: The deflated file, positioned at the first byte of the stream.
    """

    def __init__(self, deflated: BinaryIO):
        self._deflated = deflated
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = bytearray()
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, fewer at the end of the stream."""
        end = self._position + size
        self._inflate(end)
        data = bytes(self._data[self._position : end])
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move among the bytes inflated so far and return the position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}[whence]
        self._position = max(0, min(start + offset, len(self._data)))
        return self._position

    def tell(self) -> int:
        """Return the position among inflated bytes."""
        return self._position

    def _inflate(self, end: int) -> None:
        while len(self._data) < end and not self._inflater.eof:
            deflated = self._inflater.unconsumed_tail or self._deflated.read(_CHUNK_BYTES)
            if not deflated:
                return
            self._data += self._inflater.decompress(deflated, _CHUNK_BYTES)


class BoundedFile:
    """A binary file that refuses to return more than an allowance of bytes.

    Args:
        file: The file to read from.
        path: The file's name, for error messages.
        size: Number of bytes in `file`, None when unknown.
        allowance: Number of bytes that may be read, counted over all calls, until `allow` sets
            another.
    """

    def __init__(
        self,
        file: BinaryIO | InflatedFile,
        *,
        path: Path,
        size: int | None,
        allowance: int,
    ):
        self.name = path.name
        self._file = file
        self._path = path
        self.size = size
        self._allowance = allowance
        self._left = allowance

    def allow(self, num_bytes: int) -> None:
        """Set the allowance to `num_bytes` from here on, whatever was left of the old one."""
        self._allowance = self._left = num_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all of the rest if negative.

        Raises:
            RadiographError: More bytes were asked for, and are there, than the allowance; or what
                was deflated is damaged.
        """
        size = self._within_file(size)
        if not 0 <= size <= self._left:
            raise RadiographError(
                f"{self._path}: more than {self._allowance} bytes would have to be read for what "
                "the header describes; the file is damaged or not a single radiograph"
            )
        try:
            data = self._file.read(size)
        except zlib.error as error:
            raise RadiographError(
                f"{self._path}: the deflated data are damaged after {self._file.tell()} bytes"
            ) from error
        self._left -= len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move and return the position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def _within_file(self, size: int) -> int:
        # A read of 4 GB allocates 4 GB even where the file ends after 1 KB.
        if self.size is None:
            return size
        rest = max(0, self.size - self._file.tell())
        return rest if size < 0 else min(size, rest)
