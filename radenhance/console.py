"""The one way in which a command prints to a person, and what it keeps from them.

What is printed may quote a file that somebody else made. Nothing of it moves the cursor, paints,
or looks like a line of ours.
"""

import argparse
import logging
import os
import stat
import sys
import threading
import warnings
from contextlib import suppress
from typing import NoReturn, TextIO

from typing_extensions import override

from radenhance.foreign_text import LONGEST_MESSAGE, one_line, printable

UNWANTED = (
    "litlogger",  # an advertisement
    "weights_only` was not set",  # at every checkpoint
)


class Parser(argparse.ArgumentParser):
    """Reads the flags of a command, which a shell may have made of the names of files."""

    @override
    def error(self, message: str) -> NoReturn:
        super().error(one_line(message, LONGEST_MESSAGE))


def say(text: str) -> None:
    """Print what a command was asked for, on standard output, at once."""
    _write(sys.stdout, printable(text))


def say_error(message: str) -> None:
    """Print in one line why a command ends, on standard error."""
    joined = " ".join(message.split("\n"))
    _write(sys.stderr, f"radenhance: {one_line(joined, LONGEST_MESSAGE)}")


def leave_terminal() -> None:
    """Write nowhere instead of to a terminal that is gone, which would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for output in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(output).st_mode) and not os.isatty(output):
                os.dup2(nowhere, output)
    os.close(nowhere)


def hush_libraries() -> None:
    """Leave out of what libraries print what no user can do anything about."""
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_wanted)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # a coarse correction stays as it was trained
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
    # SaveConfigCallback uses a name that jsonargparse is about to rename
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _said_here_alone


def _said_here_alone(ended: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, except TensorBoard's, which raises it again where it is called."""
    if type(ended.thread).__module__ != "tensorboard.summary.writer.event_file_writer":
        threading.__excepthook__(ended)


def guard_logs() -> None:
    """Let logs and warnings that reach the terminal be `printable`: ours, and those of libraries.

    It is called again by those who import a library that sets up a log of its own.
    """
    names = (None, "lightning.pytorch", "lightning.fabric", "torch", "pydicom")
    handlers = [handler for name in names for handler in logging.getLogger(name).handlers]
    for handler in (*handlers, logging.lastResort):
        if handler is not None:
            handler.addFilter(_made_printable)
    if not isinstance(warnings.formatwarning, _PrintableWarnings):
        warnings.formatwarning = _PrintableWarnings(warnings.formatwarning)


class _PrintableWarnings:
    """Formats warnings as before, and then for a terminal."""

    def __init__(self, before: object) -> None:
        self._before = before

    def __call__(self, *args: object, **options: object) -> str:
        return printable(self._before(*args, **options))  # type: ignore[operator]


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def _wanted(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in UNWANTED)


def _made_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True
