"""What an enhanced image is called, so that nobody reads in it whose it is.

Clinics call files and folders after patients. An output is called as its source is, in the same
subfolders, unless a name, a number or a date that identifies somebody stands there: such a folder
is left out, and such a file is called after a hash.
"""

import hashlib
import os
import re
import uuid
from collections.abc import Collection, Container
from pathlib import PurePosixPath

from radenhance.dataset.manifest import RADIOGRAPH_SUFFIXES
from radenhance.prepare.identity import blacked_out

_UNUSUAL = re.compile(r"[^\w.,+=()@#\- ]")
"""Characters that some file system, shell or spreadsheet takes for something else."""

LONGEST = 100
"""Characters of a part of a name, of which some file systems take no more than 255 bytes."""


def key_of(name: str, sop_instance_uid: str) -> str:
    """Return a key of a source, which tells nobody its name.

    Args:
        name: Its path below the folder that was named, with forward slashes.
        sop_instance_uid: (0008,0018) SOP Instance UID; empty if it is not DICOM.
    """
    return hashlib.sha256(f"{sop_instance_uid}\0{name}".encode()).hexdigest()[:16]


def uid_within(salt: str, source_uid: str) -> str:
    """Return the UID of what is made of something with a UID: a UUID (PS3.5 B.2).

    Equal UIDs become equal ones within a run, so that a series stays one, and an image that is made
    once more replaces itself. Two runs share none, and only who has the salt can tell whose one is.

    Args:
        salt: Hexadecimal digits of a UUID, those of the run.
        source_uid: The UID of the source.
    """
    return f"2.25.{uuid.uuid5(uuid.UUID(hex=salt), source_uid).int}"


def output_name(name: str, key: str, words: Collection[str], taken: Container[str]) -> str:
    """Return what to call the output of a source, with subfolders and without suffix.

    Args:
        name: Path of the source below the folder that was named, with forward slashes.
        key: What `key_of` returned.
        words: Words that identify somebody, as `identity_words` returns them.
        taken: Names that others have.
    """
    *folders, file = PurePosixPath(name).parts
    stem, suffix = os.path.splitext(file)
    stem = stem if suffix.lower() in RADIOGRAPH_SUFFIXES else file
    kept = [_plain(folder) for folder in folders if _is_harmless(folder, words)]
    last = _plain(stem) if _is_harmless(stem, words) else f"image-{key}"
    wanted = "/".join([*kept, last])
    return f"{wanted}-{key}" if wanted in taken else wanted


def _is_harmless(part: str, words: Collection[str]) -> bool:
    return blacked_out(part, words) == part


def _plain(part: str) -> str:
    plain = _UNUSUAL.sub("_", part)[:LONGEST].strip(" ")
    return plain if plain.strip(".") else f"_{plain}"
