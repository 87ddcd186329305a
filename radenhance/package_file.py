"""A model package: the weights of a checkpoint and what they mean, in a folder or a zip archive.

A checkpoint holds what a run needs to go on, and only this program reads it. A package is what one
clinic hands to another: weights in a format that holds nothing but numbers, and a description that
a person and another program can read. It comes from a stranger as well, so that nothing in it is
believed: only files of known names are looked at, none is larger than the package itself, and the
weights are those that the description has the checksum of. What the settings say is checked where
those of a checkpoint are.

The names of the files and of the description's keys are known here alone, for reading and writing.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from radenhance.errors import UsageError

WEIGHTS = "model.safetensors"
METADATA = "metadata.json"
CARD = "MODEL.md"
FILES = (WEIGHTS, METADATA, CARD)

SECTION = "radenhance"
"""Key of what we add to the metadata of MONAI's bundles; nothing else there is read."""

FORMAT = 1
KEYS = {
    "format",
    "version",
    "lightning_version",
    "settings",
    "coarse",
    "input",
    "weights_sha256",
    "checkpoint_sha256",
    "data",
    "measures",
    "checks",
}
"""What the section holds; none may be missing, and there is no other."""

MOST_METADATA_BYTES = 2**20

KINDS = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}
"""Kinds of numbers that weights and counts are."""


@dataclass(frozen=True)
class Package:
    """What is in a package, read and with the right checksum.

    Args:
        state: The weights by name, on the CPU.
        section: Our part of the metadata, with all keys of KEYS; their values are those of the
            file.
    """

    state: Mapping[str, Tensor]
    section: Mapping[str, Any]


def is_package(path: Path) -> bool:
    """Return whether a path is of a folder or an archive that says that it is a package."""
    if path.is_dir():
        return (path / METADATA).is_file()
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == METADATA for name in archive.namelist())
    except Exception:  # zipfile raises anything at wrong bytes
        return False


def read_package(path: Path) -> Package:
    """Return what is in a package.

    Raises:
        UsageError: It is damaged, has other files or keys than a package has, or is larger inside
            than outside.
    """
    try:
        files = _folder(path) if path.is_dir() else _archive(path)
        section = _section(files[METADATA])
        if hashlib.sha256(files[WEIGHTS]).hexdigest() != section["weights_sha256"]:
            raise ValueError(f"the checksum of {WEIGHTS} is wrong")
        return Package(_weights(files[WEIGHTS]), section)
    except ValueError as error:
        raise UsageError(
            f"{path} is not a model package of radenhance, or damaged: {error}; ask for the "
            f"package anew"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or 'it is damaged'}") from error


def model_sha256(path: Path) -> str:
    """Return the SHA-256 of a package's weights, or of a checkpoint's file, in hex.

    Raises:
        UsageError: It is a package that cannot be read.
    """
    if is_package(path):
        sha256: str = read_package(path).section["weights_sha256"]
        return sha256
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder(path: Path) -> dict[str, bytes]:
    for name in (WEIGHTS, METADATA):
        if not (path / name).is_file():
            raise ValueError(f"it lacks {name}")
    with (path / METADATA).open("rb") as file:
        metadata = file.read(MOST_METADATA_BYTES + 1)
    return {METADATA: metadata, WEIGHTS: (path / WEIGHTS).read_bytes()}


def _archive(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_records(archive.infolist(), os.fstat(file.fileno()).st_size)
                return {name: archive.read(name) for name in (WEIGHTS, METADATA)}
        except _RecordsError:
            raise
        except Exception as error:  # zipfile raises anything at wrong bytes
            raise ValueError("the archive is broken") from error


class _RecordsError(ValueError):
    """An archive is whole, and not one of a package."""


def _check_records(records: Sequence[zipfile.ZipInfo], size: int) -> None:
    names = [record.filename for record in records]
    if set(names) - set(FILES):
        raise _RecordsError("it has other files than a package has")
    if len(set(names)) < len(names) or not {WEIGHTS, METADATA} <= set(names):
        raise _RecordsError(f"it lacks {WEIGHTS} or {METADATA}, or has one twice")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise _RecordsError("it is compressed, where the folder that is in it is taken as well")
    if sum(record.file_size for record in records) > size:
        raise _RecordsError("its files are larger than itself")


def _section(content: bytes) -> Mapping[str, Any]:
    if len(content) > MOST_METADATA_BYTES:
        raise ValueError(f"{METADATA} is larger than {MOST_METADATA_BYTES // 2**20} MiB")
    try:
        metadata = json.loads(
            content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{METADATA} is not JSON that can be read") from error
    section = metadata.get(SECTION) if isinstance(metadata, dict) else None
    if not isinstance(section, dict):
        raise ValueError(f"{METADATA} has no section {SECTION}")
    if section.get("format") != FORMAT:
        raise ValueError(f"it is of another format than {FORMAT}, perhaps of a newer radenhance")
    if section.keys() != KEYS:
        raise ValueError(f"section {SECTION} of {METADATA} lacks keys or has unknown ones")
    return section


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is there twice")
    return made


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _weights(content: bytes) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load(content)
    except (SafetensorError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{WEIGHTS} holds no weights") from error
    if any(tensor.dtype not in KINDS for tensor in state.values()):
        raise ValueError(f"{WEIGHTS} holds numbers of an unknown kind")
    return state
