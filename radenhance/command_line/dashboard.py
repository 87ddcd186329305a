"""TensorBoard over a folder of runs: `radenhance dashboard`."""

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path

from tensorboard import program

from radenhance.console import Parser, say
from radenhance.errors import UsageError
from radenhance.runs import LOGS

PAGE = "?smoothing=0#custom_scalars&_smoothingWeight=0"
"""The tab that shows the pages Memory and Loss, every point where it is: TensorBoard smooths."""

DEFAULT_PORT = 6006
"""TensorBoard's own; it takes one of those above where this one is in use."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance dashboard` until Ctrl-C.

    Raises:
        UsageError: There are no runs, or the port is taken.
    """
    options = parse(arguments)
    if not any(options.logdir.rglob("events.out.tfevents.*")):
        raise UsageError(
            f"{options.logdir} has no runs to show; start one with `radenhance fit`, or name the "
            f"folder that holds them: `radenhance dashboard LOGDIR`"
        )
    say(f"{serve(options)}{PAGE}")
    say("Ctrl-C stops it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say("")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; the first argument is the command."""
    parser = Parser(
        prog="radenhance dashboard",
        description="Show runs in the browser: memory, losses, best and worst images, and a table "
        "of all runs. It prints the address to open, and serves until Ctrl-C.",
        epilog="example: radenhance dashboard lightning_logs",
    )
    parser.add_argument(
        "logdir", nargs="?", type=Path, default=Path(LOGS), help=f"folder of runs ({LOGS})"
    )
    parser.add_argument(
        "--port", type=int, help=f"port to serve on (the first free one from {DEFAULT_PORT})"
    )
    parser.add_argument(
        "--host", default="localhost", help="address to serve on; 0.0.0.0 for all (localhost)"
    )
    options = parser.parse_args(arguments[1:])
    if options.port is not None and not 0 < options.port < 65536:
        parser.error(f"--port is {options.port}, expected 1 to 65535")
    return options


def serve(options: argparse.Namespace) -> str:
    """Start TensorBoard in a thread and return its address.

    Raises:
        UsageError: It cannot have the port.
    """
    # the fast loader is a process of its own, and announces itself as experimental at every start
    flags = [f"--logdir={options.logdir}", f"--host={options.host}", "--load_fast=false"]
    if options.port is not None:
        flags.append(f"--port={options.port}")
    board = program.TensorBoard()
    board.configure(argv=["tensorboard", *flags])
    try:
        return str(board.launch())
    except program.TensorBoardServerException as error:
        raise UsageError(
            f"TensorBoard cannot serve on {options.host}, port {options.port or DEFAULT_PORT} "
            f"({error.msg}); choose another with --port, or leave it out for a free one"
        ) from error
