"""Work on many images at once, on all cores."""

import argparse
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
from tqdm import tqdm

from radenhance.errors import RadenhanceError

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; knows the limits of containers and batch systems
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def add_processes_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--processes N` to a command that works in parallel."""
    parser.add_argument(
        "--processes",
        type=_at_least_one,
        metavar="N",
        help="work on at most so many images at once, to save memory (one per core)",
    )


def in_parallel(
    work: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    *,
    title: str,
    unit: str = "image",
    num_processes: int | None = None,
) -> Iterator[_Result]:
    """Yield the result of each job, in order, and show a bar with the time that is left.

    When the caller stops taking results, jobs that have not begun are dropped.

    Args:
        work: A function of a module, so that another process finds it.
        jobs: Its arguments.
        title: Of the bar.
        unit: Of the bar.
        num_processes: At most so many at once; all cores when None.

    Raises:
        RadenhanceError: A process was killed, as happens when memory runs out.
    """
    if not jobs:
        return
    processes = min(num_processes or num_cores(), len(jobs))
    if processes <= 1:
        yield from tqdm(map(work, jobs), total=len(jobs), desc=title, unit=unit)
        return
    # spawn: a forked child would inherit locks of threads that torch and OpenCV have started
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start) as pool:
        try:
            results = pool.map(work, jobs)
            yield from tqdm(results, total=len(jobs), desc=title, unit=unit)
        except BrokenProcessPool as error:
            raise RadenhanceError(
                f"one of {processes} processes was killed, probably because memory ran out; run "
                f"the command again with fewer at once (--processes {max(processes // 2, 1)})"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} was given, expected 1 or more")
    return number


def _start() -> None:
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of a terminal; the first one decides what it means.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
