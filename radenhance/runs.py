"""Where runs keep what is theirs: a folder each, lightning_logs/<recipe>_<size>_<n>.

A run's number is in its run.json, and in the name unless the user chose another. The newest run is
the one with the highest number: times of files jump with the clock, and are those of the copy where
a folder was copied. Runs of earlier versions are called version_N.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radenhance.errors import UsageError
from radenhance.files import new_part, replace_file
from radenhance.package_file import is_package

LOGS = "lightning_logs"
NAMES = ("last", "best")
REPORT = "run.json"
CHECKPOINTS = "checkpoints"
NUMBER = "number"

_FORMER = re.compile(r"version_(\d+)")


def find_checkpoint(name: str, root: Path, *, parameter: str = "Trainer.fit.ckpt_path") -> Path:
    """Return the checkpoint that `name` means: a path, or the newest run's last or best.

    A model package is one, too.

    Args:
        name: A path, or one of NAMES.
        root: The folder that holds lightning_logs.
        parameter: What messages call it.

    Raises:
        UsageError: It is not there; that an earlier run has one does not count.
    """
    if name not in NAMES:
        if not (Path(name).is_file() or is_package(Path(name))):
            raise UsageError(f"{parameter} {name}: no such file; give a checkpoint, last or best")
        return Path(name)
    folder = newest_run(root)
    if folder is None:
        raise UsageError(
            f"{parameter} {name}: no run under {root / LOGS} has a checkpoint of that "
            f"name yet; start one with `radenhance fit`, or give a path"
        )
    checkpoint = folder / CHECKPOINTS / f"{name}.ckpt"
    if not checkpoint.is_file():
        for other in NAMES:
            if (folder / CHECKPOINTS / f"{other}.ckpt").is_file():
                raise UsageError(
                    f"{parameter} {name}: the newest run, {folder}, has a {other}.ckpt, but no "
                    f"{name}.ckpt yet; give {other}, or the path of a checkpoint"
                )
        raise UsageError(
            f"{parameter} {name}: the newest run, {folder}, has no {name}.ckpt, as it stopped "
            f"before its first; start it anew, remove its folder to mean the run before it, or "
            f"give the path of a checkpoint"
        )
    return checkpoint


def newest_checkpoint(name: str, root: Path) -> Path | None:
    """Return the last or best checkpoint of the newest run, None where it has none.

    Args:
        name: One of NAMES.
        root: The folder that holds lightning_logs.
    """
    folder = newest_run(root)
    checkpoint = None if folder is None else folder / CHECKPOINTS / f"{name}.ckpt"
    return checkpoint if checkpoint is not None and checkpoint.is_file() else None


def newest_run(root: Path) -> Path | None:
    """Return the folder of the newest run, None where there is none.

    Args:
        root: The folder that holds lightning_logs.
    """
    found = _numbered(root)
    return max(found, key=lambda folder: (found[folder], folder)) if found else None


def number_of(folder: Path) -> int | None:
    """Return the number of the run in a folder; None where it is no run's.

    Raises:
        UsageError: Its run.json cannot be read.
    """
    report = folder / REPORT
    if report.is_file():
        return int(read_report(folder)[NUMBER])
    former = _FORMER.fullmatch(folder.name)
    # folders of a logger alone are called so, too
    is_run = (folder / CHECKPOINTS).is_dir() or (folder / "config.yaml").is_file()
    return int(former[1]) if former and is_run else None


def read_report(folder: Path) -> dict[str, Any]:
    """Return what a run says of itself, in its run.json.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        int(report[NUMBER])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{folder / REPORT} is damaged; remove that folder, or give the path of a checkpoint"
        ) from error
    return dict(report)


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write what a run says of itself."""
    replace_file(folder / REPORT, (json.dumps(report, indent=2) + "\n").encode())


def run_of(checkpoint: Path) -> Path | None:
    """Return the folder of the run whose checkpoint this is, None where it lies elsewhere."""
    folder = checkpoint.parent.parent
    is_kept = checkpoint.parent.name == CHECKPOINTS and number_of(folder) is not None
    return folder if is_kept else None


def claim(root: Path, label: str, name: str | None, report: Mapping[str, Any]) -> Path:
    """Make the folder of a new run, which has its run.json from the first moment on.

    Args:
        root: The folder that holds lightning_logs.
        label: What stands before the number in its name.
        name: Its name instead, or None.
        report: What the run says of itself, without its number.

    Raises:
        UsageError: There is a folder of that name.
        OSError: It cannot be made.
    """
    logs = root / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    number = max(_numbered(root).values(), default=-1) + 1
    while True:
        folder = logs / (name or f"{label}_{number}")
        with new_part(logs, is_folder=True) as part:
            write_report(part, {NUMBER: number, **report})
            part.chmod(logs.stat().st_mode & 0o777)
            if not folder.exists():
                try:
                    os.rename(part, folder)
                except FileExistsError:
                    pass  # another run took it just now
                except OSError:
                    if not folder.exists():
                        raise
                else:
                    return folder
        if name is not None:
            raise UsageError(f"Trainer.fit.run_name {name}: {folder} is there; give another name")
        number += 1


def label_of(recipe: str, image_size: object) -> str:
    """Return what stands before the number in a run's name, such as original_512."""
    plain = re.sub(r"[^\w.-]+", "-", recipe)[:80].strip(".-")
    return f"{plain or 'fit'}_{image_size}"


def _numbered(root: Path) -> dict[Path, int]:
    """Return the folders of runs with their numbers."""
    folders = [path for path in (root / LOGS).glob("[!.]*") if path.is_dir()]
    return {path: number for path in folders if (number := number_of(path)) is not None}
