"""What a night's batch has done so far, in a file that a kill cannot ruin.

    OUT/enhance.jsonl    a line about the run, then a line about each file, as it is done

A line is on the disk before the next file begins. One that a kill cut off is not read, and its file
is done again. Names are those of `prepare`'s reports: *** for whatever identifies somebody.
"""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.inference.naming import uid_within
from radenhance.text_files import read_text

JOURNAL = "enhance.jsonl"
MAX_BYTES = 2**30

Outcome = Literal["enhanced", "skipped", "failed", "out of memory"]
"""What became of a file: skipped is one that is no raw radiograph."""


@dataclass(frozen=True)
class Record:
    """What became of one file.

    Args:
        key: Its key, as `naming.key_of` gives it.
        source: Its path below the folder that was named, with *** for names.
        outcome: What became of it.
        output: Path of its output below the folder of outputs; empty if there is none.
        seconds: How long it took.
        reason: Why it was not enhanced, in a sentence.
        guard: What the guard said of the output, if it was asked: sentence and boxes.
    """

    key: str
    source: str
    outcome: Outcome
    output: str = ""
    seconds: float = 0.0
    reason: str = ""
    guard: dict[str, Any] | None = None


class Journal:
    """The records of a folder of outputs.

    Args:
        path: The file.
        settings: What decides what an output is; text by name.
        salt: Hexadecimal digits of a UUID that this run's UIDs are made of.
        records: What was done before, by key.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, str], salt: str, records: dict[str, Record]
    ) -> None:
        self.path = path
        self.settings = settings
        self.salt = salt
        self.records = records
        self._write_anew()

    @classmethod
    def begin(cls, folder: Path, settings: Mapping[str, str]) -> Self:
        """Return the journal of a new run, in place of an earlier one.

        Args:
            folder: The folder of outputs; it exists.
            settings: What decides what an output is.

        Raises:
            RadenhanceError: The file cannot be written.
        """
        return cls(folder / JOURNAL, settings, uuid.uuid4().hex, {})

    @classmethod
    def resume(cls, folder: Path, settings: Mapping[str, str]) -> Self:
        """Return the journal of the run that is in a folder; a new one where there is none.

        Raises:
            UsageError: That run had other settings, or the file is not a journal.
        """
        path = folder / JOURNAL
        if not path.exists():
            return cls.begin(folder, settings)
        lines = _read(path)
        begun = lines[0] if lines else {}
        salt = begun.get("salt")
        if not (isinstance(salt, str) and len(salt) == 32 and set(salt) <= set("0123456789abcdef")):
            raise UsageError(
                f"{path} does not begin as a list of enhanced images does; choose another folder, "
                f"or begin anew without --continue"
            )
        if begun.get("settings") != dict(settings):
            raise UsageError(
                f"{path} says that this folder was begun with other settings or another network; "
                f"choose another folder, or begin anew without --continue"
            )
        records = (_record(line) for line in lines[1:])
        return cls(path, settings, salt, {record.key: record for record in records if record})

    def add(self, record: Record) -> None:
        """Write a record to the disk."""
        self.records[record.key] = record
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def uid_of(self, source_uid: str) -> str:
        """Return the UID of what this run makes of something with a UID."""
        return uid_within(self.salt, source_uid)

    def pseudonym_of(self, key: str) -> str:
        """Return 16 hexadecimal digits that stand for a source, and that only this list tells."""
        return uuid.uuid5(uuid.UUID(hex=self.salt), key).hex[:16]

    def _write_anew(self) -> None:
        begun = {"salt": self.salt, "settings": dict(self.settings)}
        lines = [begun, *(asdict(record) for record in self.records.values())]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        replace_file(self.path, text.encode())


def _read(path: Path) -> list[dict[str, Any]]:
    lines = []
    for line in read_text(path, max_bytes=MAX_BYTES).splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):  # cut off by a kill
            continue
        if isinstance(found, dict):
            lines.append(found)
    return lines


def _record(line: Mapping[str, Any]) -> Record | None:
    known = {"key": str, "source": str, "outcome": str, "output": str, "reason": str}
    if not all(isinstance(line.get(name), kind) for name, kind in known.items()):
        return None
    seconds = line.get("seconds")
    texts = {name: line[name] for name in known}
    guard = line.get("guard")
    return Record(
        **texts,
        seconds=seconds if isinstance(seconds, int | float) else 0.0,
        guard=guard if isinstance(guard, dict) else None,
    )
