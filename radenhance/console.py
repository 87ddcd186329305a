"""The one way in which a command prints to a person, and what it keeps from them."""

import logging
import os
import sys
import threading
import warnings

UNWANTED = (
    "litlogger",  # an advertisement
    "weights_only` was not set",  # at every checkpoint
)


def say(text: str) -> None:
    """Print what a command was asked for, on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def hush_libraries() -> None:
    """Leave out of what libraries print what no user can do anything about."""
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_wanted)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # SaveConfigCallback uses a name that jsonargparse is about to rename
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _said_here_alone


def _said_here_alone(ended: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, except TensorBoard's, which raises it again where it is called."""
    if type(ended.thread).__module__ != "tensorboard.summary.writer.event_file_writer":
        threading.__excepthook__(ended)


def _wanted(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in UNWANTED)
