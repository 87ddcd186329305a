"""Runs as processes of their own, resumed where they were stopped.

Figures of memory and time are those of a fresh process, a run that fails takes no other with it,
and two devices need two processes anyway. What a run prints stays in its folder.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol, TextIO

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.folders import locked
from radenhance.reproduce.machine import accelerator, machine, num_devices
from radenhance.reproduce.study import FAILED, FINISHED
from radenhance.strategies import EncoderDecoderStrategy

ENDING_S = 5.0
"""Seconds that a process which was told to end, or killed, may take to be gone."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Environment of processes that share the cores of a CPU."""


class Run(Protocol):
    """A command that runs in a folder of its own, and goes on where it was stopped."""

    @property
    def folder(self) -> Path:
        """Folder for what it prints, and for whether it has finished or failed."""

    @property
    def title(self) -> str:
        """What it is called in a line of progress."""

    @property
    def num_processes(self) -> int:
        """Number of processes, each a node of the others."""

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""

    def command(self, accelerator: str) -> list[str]:
        """Return program and arguments of each of its processes."""


def run_all(runs: Sequence[Run], say: Callable[[str], None], *, side_by_side: bool = True) -> None:
    """Run what is not finished; a run that fails is noted, and the others go on.

    On a CPU as many runs as there are cores go side by side, with a thread per process: the two
    processes of a run whose batch is one micro-batch take turns.

    Args:
        runs: The runs.
        say: Function that prints a line of progress.
        side_by_side: Whether there may be several at a time; one alone has all cores.
    """
    pending = [run for run in runs if not run.is_finished]
    progress = _Progress(len(pending), say)
    if not side_by_side or accelerator() == "gpu":
        for run in pending:  # in this thread, so that what stops this process stops the run
            progress.timed(run)
        return
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for _ in pool.map(partial(progress.timed, environment=ONE_THREAD), pending):
            pass


class _Progress:
    """Report what is done, and how long the rest will take."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._done = 0
        self._started = time.monotonic()

    def timed(self, run: Run, environment: Mapping[str, str] | None = None) -> None:
        started = time.monotonic()
        ended_well = execute(run, environment)
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        self._say(
            f"[{self._done}/{self._total}] {run.title}: "
            f"{'done' if ended_well else 'failed'} in {time.monotonic() - started:.0f} s; "
            f"about {left / 60:.0f} min left"
        )


def execute(run: Run, environment: Mapping[str, str] | None = None) -> bool:
    """Run the processes of a run and wait for them; return whether they ended well.

    Args:
        run: The run.
        environment: Variables to set besides those that distribute the processes.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / FAILED).unlink(missing_ok=True)
    command = run.command(accelerator())
    if run.num_processes > 1 and 0 < num_devices() < run.num_processes:
        # NCCL connects no two processes of one GPU
        path = f"{EncoderDecoderStrategy.__module__}.{EncoderDecoderStrategy.__name__}"
        command += [f"--trainer.strategy={path}", "--trainer.strategy.process_group_backend=gloo"]
    processes = run.num_processes
    error = launch(command, run.folder, num_processes=processes, environment=environment)
    if error is not None:
        replace_file(run.folder / FAILED, error.encode())
        return False
    replace_file(run.folder / FINISHED, json.dumps(machine(), indent=2).encode())
    return True


def launch(
    command: Sequence[str],
    folder: Path,
    *,
    num_processes: int = 1,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Run a command in processes of its own, each a node of the other, and wait for them.

    Returns:
        The last line that the first failed process printed; None if all ended well.

    Args:
        command: Program and arguments, the same in each process.
        folder: Existing folder for log0.txt, log1.txt, ..., to which their output is appended.
        num_processes: Number of processes.
        environment: Variables to set besides those that distribute the processes.

    Raises:
        UsageError: Processes that were started in that folder before still run, such as those
            whose parent was killed.
    """
    logs = [folder / f"log{rank}.txt" for rank in range(num_processes)]
    port = find_free_network_port()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank, path in enumerate(logs):
            variables = {**_environment(rank, num_processes, port), **(environment or {})}
            with path.open("a") as log:
                _lock(log)
                processes.append(
                    subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=variables)
                )
        codes = [process.wait() for process in processes]
    except BaseException:  # Ctrl-C reaches the children as well; they save and end
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        raise
    failed = [log for log, code in zip(logs, codes, strict=True) if code]
    return _last_line(failed[0]) if failed else None


def _lock(log: TextIO) -> None:
    """Lock a log until the process ends that inherits it, whatever becomes of this one."""
    deadline = time.monotonic() + ENDING_S
    while not locked(log.fileno()):
        if time.monotonic() > deadline:
            raise UsageError(
                f"a process that was started before still writes {log.name}; wait until it has "
                f"ended, or end it"
            )
        time.sleep(0.1)


def _environment(rank: int, num_processes: int, port: int) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if num_processes > 1:
        environment["MASTER_ADDR"], environment["MASTER_PORT"] = "127.0.0.1", str(port)
        environment["NODE_RANK"] = str(rank)
        if num_devices() > 1:
            environment["CUDA_VISIBLE_DEVICES"] = _visible_devices()[rank]
    return environment


def _visible_devices() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(index) for index in range(torch.cuda.device_count())]


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
