"""What the machine lacks is one sentence, an exit code, and no loss."""

import errno
import os
import re
import resource
import signal
import zipfile

import pytest
import torch
from processes import LAST, command, start, wait_for_checkpoint

from radenhance.cli import main, say_errors
from radenhance.command_line.faults import fault_of
from radenhance.errors import DiskError, MachineError

WORKER = "Caught {} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
A_PART = f".radenhance-{'0' * 32}.part"
SAID = {
    "the memory of this machine ran out": [
        MemoryError(),
        MemoryError("Unable to allocate 512. TiB for an array with shape (70368744177664,)"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 281474976710656 bytes. Error code 12"
        ),
        RuntimeError("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed"),
        RuntimeError("std::bad_alloc"),
        MemoryError(WORKER.format("MemoryError") + "MemoryError"),
    ],
    "/dev/shm is too small": [
        RuntimeError(
            WORKER.format("RuntimeError") + "RuntimeError: unable to allocate shared memory(shm) "
            "for file </torch_5243_3818608681_0>: No space left on device (28)\n"
        ),
        RuntimeError("unable to resize file </torch_5345_282_0> to the right size: No space left"),
        RuntimeError(
            "DataLoader worker (pid 31) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your limit."
        ),
    ],
    "a process that loads images was killed": [
        RuntimeError("DataLoader worker (pid 7040) is killed by signal: Killed. "),
        RuntimeError("DataLoader worker (pid(s) 7040, 7041) exited unexpectedly"),
    ],
    "this process may not open more files": [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        OSError(errno.ENFILE, os.strerror(errno.ENFILE), "pairs.csv"),
        RuntimeError("Too many open files. Communication with the workers is no longer possible."),
        RuntimeError("received 0 items of ancdata"),
        OSError(WORKER.format("OSError") + "OSError: [Errno 24] Too many open files: 'a.npy'"),
    ],
    "lets no more processes or threads start": [
        RuntimeError("can't start new thread"),
        BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
    ],
    "its disk or quota is full": [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "a.png"),
    ],
    "a.npy: its disk reports an error": [
        OSError(errno.EIO, os.strerror(errno.EIO), "a.npy"),
        OSError(WORKER.format("OSError") + "OSError: [Errno 5] Input/output error: 'a.npy'"),
    ],
    "config.yaml: its disk is read-only": [
        OSError(errno.EROFS, os.strerror(errno.EROFS), "config.yaml")
    ],
    "a.csv: Permission denied": [
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a.csv"),
        PermissionError(
            WORKER.format("PermissionError")
            + "PermissionError: [Errno 13] Permission denied: 'a.csv'"
        ),
    ],
    "radenhance: lightning_logs: Permission denied": [
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"lightning_logs/{A_PART}"),
    ],
    "radenhance: .: its disk is read-only": [
        OSError(errno.EROFS, os.strerror(errno.EROFS), A_PART),
    ],
}
"""Beginning of the sentence -> what Python, torch and OpenCV raise, as it was seen."""


@pytest.mark.parametrize(
    ("said", "error"), [(said, error) for said, errors in SAID.items() for error in errors]
)
def test_what_libraries_raise_is_told_in_a_sentence(capsys, said, error):
    def command():
        raise error

    fault = fault_of(error)
    assert say_errors(command) == fault.exit_code
    assert fault.exit_code == (2 if "denied" in said else 4 if "disk" in said else 7)
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.splitlines()) == 1
    assert "RadiographDataModule" not in printed


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shape mismatch in memory format"), ValueError("x"), OSError("x"), KeyError(28)],
)
def test_a_defect_is_not_taken_for_a_fault_of_the_machine(error):
    def command():
        raise error

    assert fault_of(error) is None
    with pytest.raises(type(error)):
        say_errors(command)


BY_A_WORKER = re.compile(
    r"^Traceback [^\n]*\n(?:  [^\n]*queues\.py[^\n]*_feed\n)(?:  [^\n]*\n)+OSError: [^\n]*$",
    re.MULTILINE,
)
"""What a worker's own thread prints, in Python's queues, when the limit meets it before the run."""


def limited(limit, value, flag, *arguments):
    """Run an epoch, and another one under a limit with a further flag; return its exit code."""
    assert main(["fit", *arguments, "--trainer.max_epochs=1"]) == 0
    if limit == resource.RLIMIT_AS:
        with open("/proc/self/statm") as statm:
            value += int(statm.read().split()[0]) * resource.getpagesize()
    if limit == resource.RLIMIT_NOFILE:
        value += len(os.listdir("/proc/self/fd"))
    resource.setrlimit(limit, (value, value))
    return main(["fit", *arguments, flag, "--trainer.max_epochs=2", "--ckpt_path=last"])


@pytest.mark.parametrize(
    ("limit", "value", "flag", "error", "said"),
    [
        ("AS", 300 << 20, "--data.image_size=2048", MachineError, "the memory of this machine"),
        ("NOFILE", 4, "--data.num_workers=2", MachineError, "may not open more files"),
        ("NOFILE", 12, "--data.num_workers=2", MachineError, "may not open more files"),
        ("FSIZE", 1 << 20, "--data.num_workers=0", DiskError, "last.ckpt cannot be written"),
    ],
)
def test_a_run_that_meets_a_limit_ends_in_a_sentence_with_its_checkpoint_whole(
    tmp_path, tiny_flags, limit, value, flag, error, said
):
    folder = tmp_path / "run"
    number = getattr(resource, f"RLIMIT_{limit}")
    arguments = number, value, flag, *tiny_flags
    ended = start(limited, *arguments, folder=folder, name="alone", has_children=True).wait(90)
    assert ended.code == error.exit_code, ended.output
    assert "Traceback" not in BY_A_WORKER.sub("", ended.output)
    assert said in ended.output.splitlines()[-1]
    assert zipfile.ZipFile(folder / LAST).testzip() is None
    assert torch.load(folder / LAST, weights_only=True)["global_step"] == 3
    assert not list(folder.rglob("*.part"))


def test_a_worker_that_is_killed_ends_the_run_in_a_sentence(tmp_path, tiny_flags):
    folder = tmp_path / "run"
    flags = [*tiny_flags, "--data.num_workers=1", "--trainer.max_epochs=1000"]
    fit = start(command, "fit", *flags, folder=folder, name="alone", has_children=True)
    wait_for_checkpoint(folder, [fit])
    pid = fit.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        os.kill(int(children.read().split()[0]), signal.SIGKILL)
    assert fit.wait(30).code == MachineError.exit_code
    assert "a process that loads images was killed" in fit.output.splitlines()[-1]
    assert "Traceback" not in fit.output
    assert zipfile.ZipFile(folder / LAST).testzip() is None
