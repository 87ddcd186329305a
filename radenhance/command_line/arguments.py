"""Flags that several commands share, and the checkpoint that a word names."""

from argparse import ArgumentParser
from pathlib import Path

from radenhance.datamodule import DEFAULT_ROOT
from radenhance.runs import find_checkpoint


def add_checkpoint_and_root(parser: ArgumentParser, *, purpose: str) -> None:
    """Add `--ckpt_path` and `--root`.

    Args:
        parser: Parser of the command.
        purpose: What is done on the dataset, as a verb, such as validate.
    """
    parser.add_argument(
        "--ckpt_path", default="best", help="a checkpoint, or last or best of the newest run (best)"
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help=f"dataset to {purpose} on ({DEFAULT_ROOT})"
    )


def named_checkpoint(name: str) -> Path:
    """Return the checkpoint that the argument CHECKPOINT names, in the folder of the command.

    Raises:
        UsageError: It is not there.
    """
    return find_checkpoint(name, Path(), parameter="CHECKPOINT")
