"""Where runs keep their checkpoints: lightning_logs/version_N/checkpoints."""

from pathlib import Path

from radenhance.errors import UsageError

LOGS = "lightning_logs"
NAMES = ("last", "best")


def find_checkpoint(name: str, root: Path) -> Path:
    """Return the checkpoint that `name` means: a path, or the newest run's last or best.

    Args:
        name: A path, or one of NAMES.
        root: The folder that holds lightning_logs.

    Raises:
        UsageError: It is not there.
    """
    if name not in NAMES:
        if not Path(name).is_file():
            raise UsageError(
                f"Trainer.fit.ckpt_path {name}: no such file; give a checkpoint, last or best"
            )
        return Path(name)
    found = (root / LOGS).glob(f"version_*/checkpoints/{name}.ckpt")
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise UsageError(
            f"Trainer.fit.ckpt_path {name}: no run under {root / LOGS} has a checkpoint of that "
            f"name yet; start one with `radenhance fit`, or give a path"
        )
    return newest


def version_of(checkpoint: Path) -> int | None:
    """Return N where the checkpoint lies in version_N/checkpoints, otherwise None."""
    prefix, _, number = checkpoint.parent.parent.name.partition("_")
    return int(number) if prefix == "version" and number.isdigit() else None
