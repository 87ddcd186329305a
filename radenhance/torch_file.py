"""A file that torch.save wrote, read as data alone.

`torch.load(weights_only=True)` makes no objects but tensors and containers. That is not enough for
a file of a stranger, or of a failing disk: it does not look at the checksums that torch.save
writes, unpacks compressed records to any size, and lets a pickle be as large, as deep and as full
of references to one big thing as it likes. So the archive is checked before torch reads it from
the same open file, and what torch made of it is checked and copied afterwards.
"""

import errno
import os
import pickletools
import zipfile
from collections import Counter
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import torch
from torch import Tensor, nn

from radenhance.errors import UsageError

_KINDS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")

GLOBALS = {
    "collections OrderedDict",
    "collections Counter",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in _KINDS),
}
"""What a pickle may name: less than `weights_only` allows, and all that a checkpoint needs."""

MOST_PICKLE_BYTES = 2**23
MOST_TUPLES = 50_000
"""Python hashes a tuple in a tuple without looking at the depth; 100,000 levels crash it."""

MOST_VALUES = 500_000
MOST_LEVELS = 32
LONGEST_TEXT = 10_000


def read_torch_file(path: Path) -> Any:
    """Return what is in a file: tensors on the CPU, numbers, texts, and containers of them.

    Raises:
        UsageError: The file is not there, damaged, larger inside than outside, or holds more.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_archive(file, size)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
        return _Copy(most_bytes=2 * size).of(content)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"{path} is no file; give a file that `radenhance fit` wrote") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # it says that something begins before its beginning
            raise _damaged(path) from error
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnpicklingError as error:
        raise UsageError(
            f"{path} is not a checkpoint of radenhance: it holds more than weights and settings"
        ) from error
    except _NotAnArchiveError as error:
        raise UsageError(
            f"{path} is not a checkpoint, or only a part of one; give a file that "
            f"`radenhance fit` wrote"
        ) from error
    except Exception as error:  # zipfile, pickle and torch raise anything at wrong bytes
        raise _damaged(path) from error


def _damaged(path: Path) -> UsageError:
    return UsageError(f"{path} is damaged; give another checkpoint")


class _NotAnArchiveError(Exception):
    """The file has not even the directory of an archive."""


def _check_archive(file: IO[bytes], size: int) -> None:
    """Raise unless the archive is one that torch.save writes, with every byte as it was written."""
    if not zipfile.is_zipfile(file):
        raise _NotAnArchiveError
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if archive.comment or len({record.filename.lower() for record in records}) < len(records):
            raise ValueError("torch's own reader may find other records in it")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ValueError("torch.save compresses nothing")
        if sum(record.file_size for record in records) > size:
            raise ValueError("records cannot be larger than their archive")
        if archive.testzip() is not None:
            raise ValueError("a checksum is wrong")
        pickle = archive.getinfo(f"{records[0].filename.split('/')[0]}/data.pkl")
        if pickle.file_size > MOST_PICKLE_BYTES:
            raise ValueError("settings and names take no such room")
        _check_pickle(archive.read(pickle))


def _check_pickle(pickle: bytes) -> None:
    """Raise at a pickle that names more than GLOBALS, or has more tuples than it needs."""
    tuples = 0
    for operation, argument, _ in pickletools.genops(pickle):
        name = operation.name
        tuples += name.startswith("TUPLE")
        if ("GLOBAL" in name or name == "INST") and argument not in GLOBALS:
            raise UnpicklingError(f"it names {argument!r}")
    if tuples > MOST_TUPLES:
        raise ValueError("tensors need fewer tuples")


class _Copy:
    """Copies containers, so that they are of plain types and hold no more than they show.

    One thing that is referred to in a thousand places counts a thousand times, as whoever takes it
    apart later will meet it so often.

    Args:
        most_bytes: Of all tensors together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.values_left = MOST_VALUES
        self.bytes_left = most_bytes

    def of(self, value: Any, level: int = 0) -> Any:
        """Return the copy of a value; tensors share their memory with it."""
        self.values_left -= 1
        if self.values_left < 0 or level > MOST_LEVELS:
            raise ValueError("it is larger or deeper than any checkpoint")
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            kind = Counter if isinstance(value, Counter) else dict
            pairs = {_key(k): self.of(one, level + 1) for k, one in dict.items(value)}
            return kind(pairs)
        if isinstance(value, list | tuple):
            return type(value)([self.of(one, level + 1) for one in value])
        return _scalar(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        self.bytes_left -= tensor.nbytes
        kind = type(tensor)
        if kind not in (Tensor, nn.Parameter) or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError("a tensor repeats its memory, or is of a kind of its own")
        if self.bytes_left < 0:
            raise ValueError("its tensors are larger than the file")
        return tensor.detach()


def _key(key: Any) -> Any:
    if not isinstance(key, str | int):
        raise UnpicklingError("a key is neither text nor number")
    return _scalar(key)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable():
        return value
    raise UnpicklingError(f"a {type(value).__name__} is no setting")
