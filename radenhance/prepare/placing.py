"""Files that move from the workshop to their places in a dataset folder.

The manifest is written after all files, so that whatever it lists is there. If this is interrupted,
the list of names that were about to be given tells which files without a line are ours.
"""

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from radenhance.dataset.pair import Pair
from radenhance.files import replace_file
from radenhance.prepare.merge import free_case_id

_ABOUT_TO_PLACE = "placing.json"
_HALVES = ("raw", "target")


@dataclass
class Names:
    """Case ids of a dataset folder.

    Args:
        taken: In use, by a line of the manifest or by a file.
        counters: The last number given, by species.
    """

    taken: set[str]
    counters: dict[str, int] = field(default_factory=dict)

    def name(self, pair: Pair, wanted: str | None) -> Pair:
        """Return the pair with a case id that is not in use, made of `wanted` where that is set."""
        case_id = free_case_id(pair, self.taken, counters=self.counters)
        if wanted is not None:
            case_id = self._like(re.sub(r"[^\w.-]+", "_", wanted).strip("._") or case_id)
        self.taken.add(case_id)
        return replace(pair, case_id=case_id)

    def _like(self, wanted: str) -> str:
        number, name = 1, wanted
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        return name


def names_of(root: Path, workshop: Path, listed: Iterable[Pair]) -> Names:
    """Return the case ids in use in the folder `root`, whose manifest lists these pairs."""
    record = workshop / _ABOUT_TO_PLACE
    ours = set(json.loads(record.read_text())) if record.is_file() else set()
    files = {path.stem for half in _HALVES for path in (root / half).glob("*")}
    return Names((files - ours) | {pair.case_id for pair in listed})


def place(root: Path, workshop: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Move the files of named pairs from the workshop into the folder `root`.

    Returns:
        The pairs, with paths relative to `root`.
    """
    if pairs:
        names = json.dumps([pair.case_id for pair in pairs])
        replace_file(workshop / _ABOUT_TO_PLACE, names.encode())
        for half in _HALVES:
            (root / half).mkdir(exist_ok=True)
    placed = []
    for pair in pairs:
        raw, target = (
            f"{half}/{pair.case_id}{Path(made).suffix}"
            for half, made in zip(_HALVES, (pair.raw_path, pair.target_path), strict=True)
        )
        os.replace(workshop / pair.raw_path, root / raw)
        os.replace(workshop / pair.target_path, root / target)
        placed.append(replace(pair, raw_path=raw, target_path=target))
    return placed


def remove_replaced(root: Path, before: Iterable[Pair], now: Collection[Pair]) -> None:
    """Remove files that the lines of their cases name no more, as when a target was PNG once."""
    in_use = {path for pair in now for path in (pair.raw_path, pair.target_path)}
    for pair in before:
        for path in {pair.raw_path, pair.target_path} - in_use:
            # Only what `place` may have put there: people write paths of their own, too.
            if path in (f"{half}/{Path(path).name}" for half in _HALVES):
                (root / path).unlink(missing_ok=True)
