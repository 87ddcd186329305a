"""Files that appear whole or not at all.

A process may be killed and a disk may be full in the middle of a write; a checkpoint or an image
that is cut off is worse than none, and worse still where a good one stood.
"""

import errno
import os
import uuid
from pathlib import Path

from radenhance.errors import RadenhanceError


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, or leave an existing file as it is.

    Args:
        path: The file to write.
        content: The bytes to write.

    Raises:
        RadenhanceError: The disk is full, or the folder is missing or cannot be written to.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> RadenhanceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RadenhanceError(
            f"{path} cannot be written: its disk or quota is full; free some space or choose "
            "another folder (an existing file of that name is untouched)"
        )
    return RadenhanceError(f"{path} cannot be written: {error.strerror}")
