"""The one way in which a command prints to a person."""

import sys


def say(text: str) -> None:
    """Print what a command was asked for, on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
