"""What a clinic's export holds: radiographs, other files, and names that must not leave it.

All headers are read before anything is written, because the name of a patient in one header may
stand in the path of another file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from radenhance.console import say
from radenhance.dataset.manifest import RADIOGRAPH_SUFFIXES
from radenhance.dataset.species import SPECIES
from radenhance.prepare.identity import blacked_out, masked
from radenhance.prepare.parallel import in_parallel
from radenhance.prepare.source import Rejected, Source, find_files, identify


@dataclass(frozen=True)
class Export:
    """An export whose headers were read.

    Args:
        sources: The radiographs, those of the raw folder first.
        rejected: The files that are no radiographs.
        words: Names and numbers of patients and owners in any header, for `blacked_out`.
    """

    sources: list[Source]
    rejected: list[Rejected]
    words: frozenset[str]

    def shown(self, files: Sequence[Rejected]) -> list[Rejected]:
        """Return rejected files without the names of patients in their paths and reasons."""
        return [
            replace(
                file,
                name=blacked_out(file.name, self.words),
                reason=masked(file.reason, self.words),
            )
            for file in files
        ]

    def stem(self, source: Source) -> str | None:
        """Return the stem of a file's name, or None where it holds a patient's name."""
        name = PurePosixPath(source.found.name)
        stem = name.stem if name.suffix.lower() in RADIOGRAPH_SUFFIXES else name.name
        return stem if blacked_out(stem, self.words) == stem else None


def read_export(
    raw: Path, targets: Path | None, *, leave_out: Path, num_processes: int | None
) -> Export:
    """Read the headers of all files below one or two folders.

    Args:
        raw: The folder to search, with all folders below it.
        targets: A second folder to search, whose files are all targets.
        leave_out: A folder that is not searched.
        num_processes: Largest number of files to process at a time; one per core when None.
    """
    others = [leave_out] if targets is None else [leave_out, targets]
    files = find_files(raw, leave_out=others)
    if targets is not None:
        files += find_files(targets, role="target", leave_out=[leave_out])
    results: list[Source | Rejected] = []
    try:
        for result in in_parallel(
            identify, files, title="Reading headers", unit="file", num_processes=num_processes
        ):
            results.append(result)
    except KeyboardInterrupt:
        # No reasons: the header of a file that was not read may tell whose name is in them.
        say(f"stopped after the headers of {len(results)} of {len(files)} files; nothing was made")
        raise
    sources = [result for result in results if isinstance(result, Source)]
    rejected = [result for result in results if isinstance(result, Rejected)]
    words = frozenset[str]().union(*(source.identity for source in sources))
    return Export([_without_names(source, words) for source in sources], rejected, words)


def _without_names(source: Source, words: frozenset[str]) -> Source:
    header = source.header
    texts: dict[str, Any] = {
        name: blacked_out(getattr(header, name), words)
        for name in ("species", "breed", "body_part", "view")
        if getattr(header, name) not in SPECIES
    }
    return replace(source, header=replace(header, **texts))
