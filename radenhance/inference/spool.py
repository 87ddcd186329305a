"""What lies between two nodes, on disk: neither a kill nor a node that is down loses it.

    SPOOL/received/   objects as they came; each goes when it is enhanced, or is no radiograph
    SPOOL/failed/     those that could not be enhanced, for a person to look at
    SPOOL/enhanced/   derived images, each of which goes when the next node has it; and the list
    SPOOL/refused/    those that the next node refuses, for a person to look at

An object is on the disk before its sender hears that it is stored. Its name is a hash of its bytes,
so that one which comes twice lies here once. Only the owner of the folder can read it.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from radenhance.errors import DiskError, RadenhanceError, UsageError
from radenhance.files import replace_file
from radenhance.folders import locked
from radenhance.inference.journal import JOURNAL, Record
from radenhance.prepare.source import FoundFile

DONE = ("enhanced", "skipped")


class Spool:
    """The folder.

    Args:
        folder: Its path; it is made.
        max_bytes: Size that all files in it together may have.

    Raises:
        UsageError: Another process serves from it, or it is a file.
        RadenhanceError: It cannot be made.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._received, self._failed, self._refused, self.enhanced = self._parts = [
            folder / name for name in ("received", "failed", "refused", "enhanced")
        ]
        try:
            for part in (folder, *self._parts):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
            # held, and so kept open, as long as the process lives
            self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RadenhanceError(f"{folder} cannot be a spool: {error.strerror}") from error
        if not locked(self._lock):
            os.close(self._lock)
            raise UsageError(f"another process serves from {folder}; choose another")

    def close(self) -> None:
        """Let another process serve from it."""
        os.close(self._lock)

    def receive(self, content: bytes) -> None:
        """Write an object to the disk.

        Raises:
            DiskError: There is no room for it.
            RadenhanceError: The folder cannot be written to.
        """
        if self.num_bytes() + len(content) > self.max_bytes:
            raise DiskError(
                f"{self.folder} is full ({self.max_bytes >> 20} MiB); objects are refused until "
                f"the next node takes what waits there"
            )
        name = hashlib.sha256(content).hexdigest()[:32]
        replace_file(self._received / f"{name}.dcm", content)

    def num_bytes(self) -> int:
        """Return the size of all files."""
        return sum(_size(file) for part in self._parts for file in part.iterdir())

    def waiting(self, at_most: int) -> list[FoundFile]:
        """Return objects that wait to be enhanced, those that came first first."""
        return [FoundFile(path, path.name) for path in _by_age(self._received)[:at_most]]

    def derived(self) -> list[Path]:
        """Return derived images that wait to be sent, those that were made first first."""
        return _by_age(self.enhanced)

    def settle(self, files: Sequence[FoundFile], records: Sequence[Record]) -> None:
        """Let go of objects that are done, and put those aside that failed.

        Args:
            files: The objects that a batch was given.
            records: What became of them, in order; perhaps not of all.
        """
        for file, record in zip(files, records, strict=False):
            if record.outcome in DONE:
                file.path.unlink(missing_ok=True)
            else:
                self.set_aside(file)

    def set_aside(self, file: FoundFile) -> None:
        """Put an object aside that cannot be enhanced."""
        os.replace(file.path, self._failed / file.path.name)

    def refuse(self, derived: Path) -> None:
        """Put a derived image aside that the next node refuses."""
        os.replace(derived, self._refused / derived.name)

    def begin_list_anew(self) -> None:
        """Put the list of what was done aside, as its settings were others."""
        number = len(list(self.enhanced.glob(f"*{JOURNAL}")))
        os.replace(self.enhanced / JOURNAL, self.enhanced / f"{number}-{JOURNAL}")


def _by_age(folder: Path) -> list[Path]:
    aged = []
    for path in folder.glob("*.dcm"):
        with suppress(OSError):  # it was sent just now
            aged.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(aged)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # as above
        return 0
