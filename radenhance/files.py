"""Files and folders that appear whole or not at all.

A process may be killed and a disk may be full in the middle of a write; a checkpoint or an image
that is cut off is worse than none, and worse still where a good one stood. So everything is written
into a part in the same folder, which then takes its place.

A part is locked while it is written. One that a killed process left is not, and the next process
that writes into that folder removes it. Where a file system has no locks, parts stay.
"""

import errno
import fcntl
import functools
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from radenhance.errors import DiskError, RadenhanceError

PART = re.compile(r"\.radenhance-[0-9a-f]{32}\.part")
"""Name of a part; no other program gives it."""

FULL = "its disk or quota is full; free some space or choose another folder"
DISK_FAULTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: "it is larger than its file system or the shell's limit (`ulimit -f`) allows",
    errno.EIO: "its disk reports an error; check it before you go on",
    errno.EROFS: "its disk is read-only, as it becomes after an error; choose another folder",
}
"""What a disk answers when the mistake is not the user's -> what to do."""


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, or leave an existing file as it is.

    Args:
        path: The file to write.
        content: The bytes to write.

    Raises:
        DiskError: The disk is full or fails.
        RadenhanceError: The folder is missing or cannot be written to.
    """
    try:
        with new_part(path.parent) as part, part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def new_part(folder: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """Yield an empty part, which is removed in the end if it is still there under that name.

    Args:
        folder: The folder to write into.
        is_folder: Whether the part is a folder, for its owner alone.
    """
    remove_left_parts(folder.absolute())
    part, lock = _made_and_locked(folder, is_folder)
    try:
        yield part
    finally:
        with suppress(OSError):  # it took its place, or the disk fails
            _remove(part)
        os.close(lock)


@functools.cache
def remove_left_parts(folder: Path) -> None:
    """Remove the parts in a folder that nobody writes any more, once in the life of a process.

    Args:
        folder: The folder, absolute; one that cannot be read is left as it is.
    """
    with suppress(OSError):
        for name in os.listdir(folder):
            if PART.fullmatch(name):
                _remove_if_left(folder / name)


def _remove_if_left(part: Path) -> None:
    with suppress(OSError):  # it is being written, or took its place just now
        lock = _opened(part)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(part)
        finally:
            os.close(lock)


def _made_and_locked(folder: Path, is_folder: bool) -> tuple[Path, int]:
    while True:
        part = folder / f".radenhance-{uuid.uuid4().hex}.part"
        part.mkdir(mode=0o700) if is_folder else part.touch(exist_ok=False)
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            lock = _opened(part)
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if part.exists():
                return part, lock
            os.close(lock)


def _opened(part: Path) -> int:
    # some network file systems lock exclusively only what is open for writing
    return os.open(part, os.O_NOFOLLOW | (os.O_RDONLY if part.is_dir() else os.O_RDWR))


def _remove(part: Path) -> None:
    shutil.rmtree(part) if part.is_dir() else part.unlink()


def _cannot_write(path: Path, error: OSError) -> RadenhanceError:
    if error.errno in DISK_FAULTS:
        return DiskError(
            f"{path} cannot be written: {DISK_FAULTS[error.errno]} (an existing file of that name "
            f"is untouched)"
        )
    return RadenhanceError(f"{path} cannot be written: {error.strerror}")
