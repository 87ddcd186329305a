"""Runs, one process each or two, resumed where they were stopped."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from radenhance.files import replace_file
from radenhance.reproduce.machine import accelerator, machine, num_devices
from radenhance.reproduce.study import FAILED, FINISHED, Run
from radenhance.strategies import EncoderDecoderStrategy


def run_all(runs: Sequence[Run], say: Callable[[str], None]) -> None:
    """Run what is not finished; a run that fails is noted, and the others go on.

    On a CPU as many runs of one process as there are cores run side by side, with a thread each.
    """
    pending = [run for run in runs if not run.is_finished]
    progress = _Progress(len(pending), say)
    at_once = 1 if accelerator() == "gpu" else max(1, len(os.sched_getaffinity(0)))
    alone = [run for run in pending if run.num_processes == 1]
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(progress.timed, alone):
            pass
    for run in pending:
        if run.num_processes > 1:
            progress.timed(run)


class _Progress:
    """Says what is done, and how long the rest will take."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._done = 0
        self._started = time.monotonic()

    def timed(self, run: Run) -> None:
        started = time.monotonic()
        ended_well = execute(run)
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        self._say(
            f"[{self._done}/{self._total}] {run.title}: "
            f"{'done' if ended_well else 'failed'} in {time.monotonic() - started:.0f} s; "
            f"about {left / 60:.0f} min left"
        )


def execute(run: Run) -> bool:
    """Run the processes of a run and wait for them; return whether they ended well."""
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / FAILED).unlink(missing_ok=True)
    command = run.command(accelerator())
    if run.num_processes > 1 and 0 < num_devices() < run.num_processes:
        # NCCL refuses two processes on one GPU
        path = f"{EncoderDecoderStrategy.__module__}.{EncoderDecoderStrategy.__name__}"
        command += [f"--trainer.strategy={path}", "--trainer.strategy.process_group_backend=gloo"]
    port = str(_free_port())
    processes = []
    for rank in range(run.num_processes):
        with (run.folder / f"log{rank}.txt").open("a") as log:
            processes.append(
                subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(rank, port, of_several=run.num_processes > 1),
                )
            )
    try:
        codes = [process.wait() for process in processes]
    except BaseException:  # Ctrl-C reaches the children as well; they save and end
        for process in processes:
            process.terminate()
        raise
    if any(codes):
        logs = [run.folder / f"log{rank}.txt" for rank in range(run.num_processes)]
        said = [_last_line(log) for log, code in zip(logs, codes, strict=True) if code]
        replace_file(run.folder / FAILED, said[0].encode())
        return False
    replace_file(run.folder / FINISHED, json.dumps(machine(), indent=2).encode())
    return True


def _environment(rank: int, port: str, *, of_several: bool) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if accelerator() == "cpu":
        environment["OMP_NUM_THREADS"] = "1"
    if of_several:
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(rank)}
        if num_devices() > 1:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
            names = [name for name in visible if name] or [
                str(i) for i in range(torch.cuda.device_count())
            ]
            environment["CUDA_VISIBLE_DEVICES"] = names[rank]
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
