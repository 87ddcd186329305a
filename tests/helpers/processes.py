"""Runs functions in processes of their own, which start fast: torch is imported once for all."""

import gc
import multiprocessing
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "radenhance.command_line.run",
        "albumentations",
        "torch._dynamo",
        "torch.distributed.fsdp",
        "torch.utils.tensorboard",
    ]
)
LAST = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")


@dataclass
class Process:
    """One that runs, or has run."""

    process: multiprocessing.Process
    output_path: Path

    @property
    def code(self):
        return self.process.exitcode

    @property
    def output(self):
        return self.output_path.read_text()

    def wait(self, seconds):
        self.process.join(seconds)
        ended = not self.process.is_alive()
        if not ended:
            self.process.kill()
            self.process.join()
        assert ended, f"still running after {seconds} s:\n{self.output}"
        return self


def start(function, *arguments, folder, name, has_children=False, **environment):
    """Start `function(*arguments)` in `folder`; its exit code is what it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder.parent / f"{folder.name}-{name}.txt"
    process = CONTEXT.Process(
        target=_run,
        args=(function, arguments, folder, output, environment),
        daemon=not has_children,
    )
    process.start()
    return Process(process, output)


def start_nodes(function, *arguments, folder, num=2, different=((), ()), **environment):
    """Start processes as nodes do; `different` are further arguments of each of two."""
    port = free_port()
    return [
        start(
            function,
            *arguments,
            *(different[rank] if num == 2 else ()),
            folder=folder,
            name=f"rank{rank}",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            NODE_RANK=str(rank),
            **environment,
        )
        for rank in range(num)
    ]


def run(function, *arguments, folder, seconds=300):
    """Run one process to its end, which must be good."""
    process = start(function, *arguments, folder=folder, name="alone").wait(seconds)
    assert process.code == 0, process.output


def run_nodes(function, *arguments, folder, num=2, seconds=300):
    """Run processes to their ends, which must be good."""
    started = start_nodes(function, *arguments, folder=folder, num=num)
    for process in started:
        process.wait(seconds)
    assert {process.code for process in started} == {0}, "\n".join(p.output for p in started)
    return started


def command(*arguments):
    """The command line, in a process of `start`."""
    from radenhance.cli import main

    return main(list(arguments))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _run(function, arguments, folder, output, environment):
    gc.freeze()  # the collector would look at, and so copy, all that the processes share
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # as in a process of the command line
    sys.exit(function(*arguments))


def wait_for_checkpoint(folder, processes, *, seconds=60):
    """Wait until a fit in `folder` has left its first checkpoint."""
    deadline = time.monotonic() + seconds
    while not (folder / LAST).exists():
        assert all(process.code is None for process in processes), processes[0].output
        assert time.monotonic() < deadline
        time.sleep(0.02)
