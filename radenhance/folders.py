"""What lies below a folder, with nothing left out in silence.

A folder without read permission, a link in a circle and a named pipe are told with the reason: who
exports ten thousand files does not count them. Linked folders are searched, each once.
"""

import fcntl
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from radenhance.errors import UsageError

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@dataclass(frozen=True)
class Entry:
    """A file, or what else lies below a folder and is none.

    Args:
        path: The path.
        problem: Why there is no file to read, as a predicate; empty where there is one.
    """

    path: Path
    problem: str = ""


def entries_below(folder: Path, *, leave_out: Collection[Path] = ()) -> Iterator[Entry]:
    """Yield each file below a folder, and each folder that cannot be searched; no hidden ones.

    Args:
        folder: The folder to search.
        leave_out: Folders that are not searched.
    """
    searched = {path.resolve() for path in leave_out}
    searched.add(folder.resolve())
    errors: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        yield from (_unsearched(error) for error in errors)
        errors.clear()
        below = []
        for path in (Path(where, name) for name in folders if not name.startswith(".")):
            target = path.resolve()
            if target not in searched:
                searched.add(target)
                below.append(path.name)
            elif path.is_symlink():
                yield Entry(path, "is a link to a folder that is searched already, or left out")
        folders[:] = below
        for name in names:
            if not name.startswith("."):
                path = Path(where, name)
                yield Entry(path, why_no_file(path))
    yield from (_unsearched(error) for error in errors)


def why_no_file(path: Path) -> str:
    """Return why a path is no file that can be read to its end, as a predicate; else nothing.

    Args:
        path: The path, which exists or is a broken link.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link to nothing"
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if stat.S_ISREG(mode):
        return ""
    return f"is {_SPECIAL.get(stat.S_IFMT(mode), 'of an unknown kind')}, expected a file"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder, which must be there.

    Nothing is left behind, also by a process that is killed. Where a file system has no locks,
    everybody comes in.

    Args:
        folder: The folder.

    Raises:
        UsageError: Another process is in there.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        if not locked(lock):
            raise UsageError(
                f"another radenhance command works in {folder}; wait until it has ended"
            )
        yield
    finally:
        os.close(lock)


def locked(lock: int) -> bool:
    """Lock an open file or folder until it is closed, here and in processes that inherit it.

    Args:
        lock: Its descriptor.

    Returns:
        Whether no other process had locked it; True also where a file system has no locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _unsearched(error: OSError) -> Entry:
    reason = f"is a folder that cannot be searched: {error.strerror}; make it readable"
    return Entry(Path(error.filename), reason)


def user_cache() -> Path:
    """Return the folder in which radenhance keeps, for this user, what it can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radenhance"
