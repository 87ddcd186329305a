"""Decoded files on the disk, each decoded once.

An entry is two files: NAME.npy, the pixels, to be memory-mapped; and NAME.json, the other fields of
`Decoded` and a checksum over both. NAME is a hash of the file's content and of everything that
decoding depends on: the reading code, the user's declaration, for presentation or not, the size. So
an entry is never out of date, anyone may reuse it, and two processes that write it at once write
the same. NAME.json appears last: a process that is killed leaves no entry, and one that does not
match its checksum is made anew. docs/decisions/0004-cache.md gives the reasons.

Hashing 35 MB at every epoch would cost more than the rest, so the hash of a file that was not
changed for a while is remembered under its path, size and times.
"""

import functools
import hashlib
import io
import json
import os
import shutil
import time
import zlib
from dataclasses import asdict, replace
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import radenhance
from radenhance.dataset.decoded import Decoded, ImageSize, decode
from radenhance.dicom.declaration import Declaration
from radenhance.errors import ParameterError, RadenhanceError, RadiographError
from radenhance.files import replace_file
from radenhance.folders import user_cache

_log = getLogger(__name__)

KEPT_FREE = 1 << 30
"""Bytes of the disk that the cache leaves free, above all for checkpoints."""

SETTLED_S = 3.0
"""Seconds from now at which a file's times prove it unchanged; some file systems count in 2 s."""

DECODING_MODULES = (
    "dicom/*.py",
    "dataset/collimator_edge.py",
    "dataset/decoded.py",
    "dataset/field.py",
    "dataset/normalize.py",
    "dataset/resample.py",
)
"""The modules that decide what an entry holds; when one changes, all entries are made anew."""


class Cache:
    """Decoded files in a folder.

    Several processes may use one folder at once. When the disk is full or cannot be written to, a
    warning says so once, and files are decoded without being kept.

    Args:
        folder: The existing folder of the entries. It may be removed at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keeps = True
        self._names: dict[str, str] = {}
        self._checked: set[str] = set()

    def decode(
        self,
        path: Path,
        *,
        declaration: Declaration,
        for_presentation: bool,
        image_size: ImageSize,
    ) -> Decoded:
        """Return what `decoded.decode` returns, from the folder if it has an entry.

        Args:
            path: The file.
            declaration: What the user declares about it.
            for_presentation: Whether to apply the VOI LUT.
            image_size: The shorter side in pixels after resampling, or native for none.

        Raises:
            RadiographError: The file cannot be read.
        """
        options: dict[str, Any] = {
            "declaration": declaration,
            "for_presentation": for_presentation,
            "image_size": image_size,
        }
        as_json = json.dumps(options | {"declaration": asdict(declaration)}, sort_keys=True)
        name = self._name(path, as_json)
        kept = self._open(name)
        if kept is not None:
            return kept
        decoded = decode(path, **options)
        self._keep(name, decoded)
        return decoded

    def _name(self, path: Path, options: str) -> str:
        """Return the hash of content and options; that of the content may be remembered."""
        try:
            stat = path.stat()
            state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            place = _hash(f"{path.resolve()} {state}".encode())
            content = self._names.get(place) or self._remembered(place)
            if content is None:
                content = _hash_of_file(path)
                if _is_settled(stat.st_mtime) and _is_settled(stat.st_ctime):
                    self._names[place] = content
                    self._write({f"{place}.name": content.encode("ascii")})
        except OSError as error:
            reason = error.strerror or "the file cannot be read"
            raise RadiographError(f"{path}: {reason}") from error
        return _hash(f"{content} {reading_code()} {options}".encode())

    def _remembered(self, place: str) -> str | None:
        try:
            content = (self.folder / f"{place}.name").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        if len(content) != len(place):
            return None
        self._names[place] = content
        return content

    def _open(self, name: str) -> Decoded | None:
        """Return an entry, or None when there is none or it is damaged."""
        try:
            with (self.folder / f"{name}.json").open(encoding="ascii") as file:
                entry = json.load(file)
            path = self.folder / f"{name}.npy"
            if name not in self._checked:
                file_bytes = np.memmap(path, np.uint8, "r").data
                if _checksum(entry["facts"], file_bytes) != entry["checksum"]:
                    return None
                self._checked.add(name)
            return _decoded(np.load(path, mmap_mode="r", allow_pickle=False), entry["facts"])
        except (OSError, EOFError, ValueError, TypeError, KeyError):
            return None

    def _keep(self, name: str, decoded: Decoded) -> None:
        if not self._keeps:
            return
        content = io.BytesIO()
        np.save(content, decoded.pixels, allow_pickle=False)
        facts = asdict(replace(decoded, pixels=np.empty(0, np.uint16)))
        del facts["pixels"]
        entry = {"facts": facts, "checksum": _checksum(facts, content.getbuffer())}
        self._checked.discard(name)
        self._write({f"{name}.npy": content.getbuffer(), f"{name}.json": _json(entry)})

    def _write(self, files: dict[str, bytes | memoryview]) -> None:
        """Write files in this order; if one cannot be written, warn and write no more."""
        if not self._keeps:
            return
        try:
            free = shutil.disk_usage(self.folder).free
            if free - sum(map(len, files.values())) < KEPT_FREE:
                raise RadenhanceError(f"{self.folder}: only {free >> 20} MiB of the disk are free")
            for name, content in files.items():
                replace_file(self.folder / name, content)
        except (RadenhanceError, OSError) as error:
            self._keeps = False
            _log.warning(
                "%s. From here on, radiographs that are not in the cache are read anew at every "
                "epoch; free some space, or set RadiographDataModule.cache to a folder elsewhere",
                str(error).split(";")[0],
            )


def open_cache(root: Path, choice: bool | Path) -> Cache | None:
    """Return the cache of the dataset folder `root`.

    Args:
        root: The dataset folder.
        choice: False for no cache; a folder; or True for `.cache` in `root` or, if nothing can be
            written there, `radenhance` in the user's cache folder.

    Raises:
        ParameterError: The folder cannot be made or written to.
    """
    if choice is False:
        return None
    user = user_cache()
    for folder in (root / ".cache", user) if choice is True else (choice,):
        if _can_be_written(folder):
            return Cache(folder)
    if choice is not True:
        raise ParameterError(
            "RadiographDataModule.cache",
            got=str(choice),
            expected="a folder that can be made and written to, or false",
        )
    _log.warning("Neither %s nor %s can be written to; nothing is cached", root / ".cache", user)
    return None


@functools.cache
def reading_code() -> str:
    """Return a hash of the code that decodes, because another version may decode differently."""
    package = Path(radenhance.__file__).parent
    files = sorted(file for pattern in DECODING_MODULES for file in package.glob(pattern))
    return _hash(radenhance.__version__.encode(), *(file.read_bytes() for file in files))


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _is_settled(changed: float) -> bool:
    """Return whether a file that changed at that time cannot change again within the same tick.

    A time to come is of another clock, or of this one before it was set back.
    """
    return abs(time.time() - changed) > SETTLED_S


def _hash(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode("ascii")


def _checksum(facts: dict[str, Any], file: memoryview) -> int:
    return zlib.crc32(file, zlib.crc32(_json(facts)))


def _decoded(pixels: npt.NDArray[Any], facts: dict[str, Any]) -> Decoded:
    return Decoded(pixels=pixels, **{key: _as_tuples(value) for key, value in facts.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
