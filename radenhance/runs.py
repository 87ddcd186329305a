"""Where runs keep their checkpoints: lightning_logs/version_N/checkpoints.

The newest run is the one with the highest number: times of files jump with the clock, and are those
of the copy where a folder was copied.
"""

from pathlib import Path

from radenhance.errors import UsageError
from radenhance.package_file import is_package

LOGS = "lightning_logs"
NAMES = ("last", "best")


def find_checkpoint(name: str, root: Path, *, parameter: str = "Trainer.fit.ckpt_path") -> Path:
    """Return the checkpoint that `name` means: a path, or the newest run's last or best.

    A model package is one, too.

    Args:
        name: A path, or one of NAMES.
        root: The folder that holds lightning_logs.
        parameter: What messages call it.

    Raises:
        UsageError: It is not there.
    """
    if name not in NAMES:
        if not (Path(name).is_file() or is_package(Path(name))):
            raise UsageError(f"{parameter} {name}: no such file; give a checkpoint, last or best")
        return Path(name)
    newest = newest_checkpoint(name, root)
    if newest is None:
        raise UsageError(
            f"{parameter} {name}: no run under {root / LOGS} has a checkpoint of that "
            f"name yet; start one with `radenhance fit`, or give a path"
        )
    return newest


def newest_checkpoint(name: str, root: Path) -> Path | None:
    """Return the last or best checkpoint of the newest run that has one, None where none has.

    Args:
        name: One of NAMES.
        root: The folder that holds lightning_logs.
    """
    found = {
        number: path
        for path in (root / LOGS).glob(f"version_*/checkpoints/{name}.ckpt")
        if (number := version_of(path)) is not None
    }
    return found[max(found)] if found else None


def version_of(checkpoint: Path) -> int | None:
    """Return N where the checkpoint lies in version_N/checkpoints, otherwise None."""
    prefix, _, number = checkpoint.parent.parent.name.partition("_")
    return int(number) if prefix == "version" and number.isdigit() else None
