"""A function called for many images at once, on all cores.

A radiograph of 4188 x 4188 pixels takes seconds and several hundred MiB, so the number of processes
is a flag of each command that uses them.
"""

import argparse
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import TypeVar

import cv2
from tqdm import tqdm

from radenhance.console import guard_logs, leave_terminal
from radenhance.errors import MachineError
from radenhance.foreign_text import one_line

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; respects containers and batch systems
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def add_processes_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--processes N` to a command that calls `in_parallel`.

    Args:
        parser: Parser of the command.
    """
    parser.add_argument(
        "--processes",
        type=_at_least_one,
        metavar="N",
        help="process at most N images at a time, to save memory (default: one per core)",
    )


def in_parallel(
    function: Callable[[_Argument], _Result],
    arguments: Sequence[_Argument],
    *,
    title: str,
    unit: str = "image",
    num_processes: int | None = None,
) -> Iterator[_Result]:
    """Yield the result of a function for each argument, in order, behind a progress bar.

    When the caller stops taking results, arguments whose turn has not come are dropped. SIGTERM and
    a closed terminal end it as Ctrl-C does: no process is left behind.

    Args:
        function: A function of a module, or a `partial` of one: other processes must find it.
        arguments: The arguments, one per call.
        title: Title of the progress bar.
        unit: Name of one argument in the progress bar.
        num_processes: Largest number of calls at a time; one per core when None.

    Raises:
        MachineError: A process was killed, as happens when memory runs out.
        KeyboardInterrupt: Somebody asked to stop.
    """
    if not arguments:
        return
    processes = min(num_processes or num_cores(), len(arguments))
    with _interrupted_by_signals():
        results = (
            map(function, arguments)
            if processes <= 1
            else _in_processes(function, arguments, processes)
        )
        yield from tqdm(results, total=len(arguments), desc=one_line(title), unit=unit)


def _in_processes(
    function: Callable[[_Argument], _Result], arguments: Sequence[_Argument], processes: int
) -> Iterator[_Result]:
    # spawn: a forked process would inherit locks of threads that torch and OpenCV have started
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start) as pool:
        try:
            yield from pool.map(function, arguments)
        except BrokenProcessPool as error:
            raise MachineError(
                f"one of {processes} processes was killed, probably because memory ran out; run "
                f"the command again with fewer of them (--processes {max(processes // 2, 1)})"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal raise KeyboardInterrupt(signal), as Ctrl-C does."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for asking in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(asking) == signal.SIG_DFL:  # ignored under nohup
                before[asking] = signal.signal(asking, _interrupt)
    try:
        yield
    finally:
        for asking, handler in before.items():
            signal.signal(asking, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        leave_terminal()
    raise KeyboardInterrupt(signal.Signals(number))


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} given, expected 1 or more")
    return number


def _start() -> None:
    cv2.setNumThreads(1)
    guard_logs()
    # Ctrl-C reaches every process of a terminal; the main one decides what to do.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
