"""Files that move from the work folder to their places in a dataset folder.

The manifest is written after all files, so that whatever it lists exists. A run that is interrupted
in between leaves a list of the names that it was about to give: the next run knows by it which
files without a line it may overwrite.
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
_ROLES = ("raw", "target")


@dataclass
class Names:
    """Case ids of a dataset folder.

    Args:
        taken: Case ids in use, by a line of the manifest or by a file.
        counters: The last number given, by species.
    """

    taken: set[str]
    counters: dict[str, int] = field(default_factory=dict)

    def name(self, pair: Pair, wanted: str | None) -> Pair:
        """Return the pair with a case id that is not in use.

        Args:
            pair: A pair without a case id.
            wanted: The name to make the case id of; species and a number when None.
        """
        case_id = free_case_id(pair, self.taken, counters=self.counters)
        if wanted is not None:
            case_id = self._unique(re.sub(r"[^\w.-]+", "_", wanted).strip("._") or case_id)
        self.taken.add(case_id)
        return replace(pair, case_id=case_id)

    def _unique(self, wanted: str) -> str:
        number, name = 1, wanted
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        return name


def names_of(root: Path, work_folder: Path, listed: Iterable[Pair]) -> Names:
    """Return the case ids that are in use in a dataset folder.

    Args:
        root: The dataset folder.
        work_folder: The folder in which cases are made.
        listed: Pairs that the manifest lists.
    """
    record = work_folder / _ABOUT_TO_PLACE
    ours = set(json.loads(record.read_text())) if record.is_file() else set()
    files = {path.stem for role in _ROLES for path in (root / role).glob("*")}
    return Names((files - ours) | {pair.case_id for pair in listed})


def place(root: Path, work_folder: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Move the files of pairs from the work folder to their places.

    Args:
        root: The dataset folder.
        work_folder: The folder in which the files were made.
        pairs: Pairs with case ids, and paths in the work folder.

    Returns:
        The pairs, with paths relative to `root`.
    """
    if pairs:
        names = json.dumps([pair.case_id for pair in pairs])
        replace_file(work_folder / _ABOUT_TO_PLACE, names.encode())
        for role in _ROLES:
            (root / role).mkdir(exist_ok=True)
    return [_place(root, work_folder, pair) for pair in pairs]


def _place(root: Path, work_folder: Path, pair: Pair) -> Pair:
    raw, target = (
        f"{role}/{pair.case_id}{Path(made).suffix}"
        for role, made in zip(_ROLES, (pair.raw_path, pair.target_path), strict=True)
    )
    os.replace(work_folder / pair.raw_path, root / raw)
    os.replace(work_folder / pair.target_path, root / target)
    return replace(pair, raw_path=raw, target_path=target)


def remove_replaced(root: Path, before: Iterable[Pair], now: Collection[Pair]) -> None:
    """Remove files that no line names any more, such as a PNG target that became DICOM.

    Args:
        root: The dataset folder.
        before: Pairs that the manifest listed before this run.
        now: Pairs that it lists now.
    """
    in_use = {path for pair in now for path in (pair.raw_path, pair.target_path)}
    for pair in before:
        for path in {pair.raw_path, pair.target_path} - in_use:
            # Only what `place` may have put there: people write paths of their own as well.
            if path in (f"{role}/{Path(path).name}" for role in _ROLES):
                (root / path).unlink(missing_ok=True)
