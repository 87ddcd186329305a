"""A process that dies before it changes a file, wherever that is."""

import os
import signal
import sys
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
"""What a process is about to do, as Python tells its audit hooks, beside opening to write."""


def die_before_change(number: int) -> None:
    """Kill this process before it changes a file for the n-th time, counted from 0."""
    owner, changes = os.getpid(), []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and str(arguments[1])[:1] in "wax"
        if (opens or event in CHANGES) and os.getpid() == owner:
            changes.append(event)
            if len(changes) == number + 1:
                os.kill(owner, signal.SIGKILL)

    sys.addaudithook(hook)
