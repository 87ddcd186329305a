"""Runs are processes: side by side or one by one, noted when they end, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from radenhance.errors import UsageError
from radenhance.reproduce import running
from radenhance.reproduce.running import execute, launch, run_all
from radenhance.reproduce.study import FAILED, FINISHED

ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def python(code):
    return [sys.executable, "-c", code]


@dataclass
class FakeRun:
    """A run that is a line of Python."""

    folder: Path
    code: str = ""
    num_processes: int = 1
    commands: list = field(default_factory=list)

    @property
    def title(self):
        return self.folder.name

    @property
    def is_finished(self):
        return (self.folder / FINISHED).exists()

    def command(self, accelerator):
        return python(self.code)


def environments(folder, num):
    return [json.loads((folder / f"log{rank}.txt").read_text()) for rank in range(num)]


def test_a_run_that_ends_well_is_finished_and_notes_its_machine(tmp_path):
    run = FakeRun(tmp_path / "a", "print('epoch 1')")
    assert execute(run)
    assert json.loads((run.folder / FINISHED).read_text())["python"].startswith("3.")
    assert (run.folder / "log0.txt").read_text() == "epoch 1\n"


def test_a_run_that_fails_is_not_finished_and_keeps_the_last_thing_it_said(tmp_path):
    run = FakeRun(tmp_path / "a", "print('x\\nradenhance: no room\\n\\n'); raise SystemExit(6)")
    assert not execute(run)
    assert (run.folder / FAILED).read_text() == "radenhance: no room"
    assert not run.is_finished


def test_a_run_that_was_killed_without_a_word_has_failed(tmp_path):
    run = FakeRun(tmp_path / "a", "import os; os.kill(os.getpid(), 9)")
    assert not execute(run)
    assert (run.folder / FAILED).read_text() == "it printed nothing"


def test_a_run_that_works_the_second_time_has_not_failed(tmp_path):
    run = FakeRun(tmp_path / "a", "raise SystemExit('no disk')")
    execute(run)
    run.code = "print('well')"
    assert execute(run)
    assert not (run.folder / FAILED).exists()
    assert (run.folder / "log0.txt").read_text() == "no disk\nwell\n"  # nothing is lost


def test_one_failure_ends_no_other_run_and_every_line_says_how_many_are_left(tmp_path):
    said = []
    runs = [FakeRun(tmp_path / "bad", "raise SystemExit(1)"), FakeRun(tmp_path / "good")]
    run_all(runs, said.append)
    assert [run.is_finished for run in runs] == [False, True]
    assert sorted(line.split("]")[0] for line in said) == ["[1/2", "[2/2"]
    assert sum("bad: failed in" in line for line in said) == 1
    assert sum("good: done in" in line for line in said) == 1


def test_what_is_finished_is_not_run_again(tmp_path):
    run = FakeRun(tmp_path / "a", "print('again')")
    run_all([run], lambda line: None)
    run_all([run], lambda line: pytest.fail(line))
    assert (run.folder / "log0.txt").read_text() == "again\n"


def test_on_a_cpu_as_many_runs_as_cores_go_side_by_side(tmp_path, monkeypatch):
    running_now, seen = [], []

    def execute_fake(run, environment):
        running_now.append(run.title)
        time.sleep(0.05)
        seen.append((run.title, tuple(running_now)))
        running_now.remove(run.title)
        return True

    monkeypatch.setattr(running, "execute", execute_fake)
    monkeypatch.setattr(running.os, "sched_getaffinity", lambda _: {0, 1})
    runs = [FakeRun(tmp_path / "two", num_processes=2), FakeRun(tmp_path / "a"),
            FakeRun(tmp_path / "b")]  # fmt: skip
    run_all(runs, lambda line: None)
    assert max(len(together) for _, together in seen) == 2
    assert ("two", "a") in [together for _, together in seen]


def test_two_processes_find_each_other(tmp_path):
    assert launch(python(ENVIRONMENT), tmp_path, num_processes=2) is None
    first, second = environments(tmp_path, 2)
    assert (first["NODE_RANK"], second["NODE_RANK"]) == ("0", "1")
    assert first["MASTER_ADDR"] == "127.0.0.1"
    assert first["MASTER_PORT"] == second["MASTER_PORT"]


def test_a_process_alone_is_no_node(tmp_path, monkeypatch):
    monkeypatch.delenv("NODE_RANK", raising=False)
    launch(python(ENVIRONMENT), tmp_path)
    assert "NODE_RANK" not in environments(tmp_path, 1)[0]


def test_a_process_imports_what_this_one_imports(tmp_path):
    code = "import radenhance; print(radenhance.__file__)"
    launch(python(code), tmp_path)
    import radenhance

    assert (tmp_path / "log0.txt").read_text().strip() == radenhance.__file__


def test_each_of_two_processes_gets_a_gpu_of_those_that_may_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "num_devices", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    launch(python(ENVIRONMENT), tmp_path, num_processes=2)
    devices = [found["CUDA_VISIBLE_DEVICES"] for found in environments(tmp_path, 2)]
    assert devices == ["GPU-a", "GPU-b"]


def test_two_processes_on_one_gpu_talk_by_gloo(tmp_path, monkeypatch):
    """NCCL refuses two processes on one GPU."""
    monkeypatch.setattr(running, "num_devices", lambda: 1)
    run = FakeRun(tmp_path / "a", "import sys; print(sys.argv[1:])", num_processes=2)
    assert execute(run)
    assert "process_group_backend=gloo" in (run.folder / "log0.txt").read_text()


def test_the_error_is_that_of_the_process_that_failed(tmp_path):
    code = (
        "import os; raise SystemExit('decoder: no room' if os.environ['NODE_RANK'] == '1' else 0)"
    )
    assert launch(python(code), tmp_path, num_processes=2) == "decoder: no room"


def test_a_folder_in_which_a_process_still_runs_is_not_run_in_again(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "ENDING_S", 0.2)
    sleeper = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
    fork = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}])"
    assert launch(python(fork), tmp_path) is None
    log = tmp_path / "log0.txt"
    try:
        with pytest.raises(UsageError, match="still writes .*log0.txt; wait until it has ended"):
            launch(python("print('again')"), tmp_path)
    finally:
        while not log.read_text().strip():
            time.sleep(0.02)
        os.kill(int(log.read_text()), signal.SIGKILL)


def test_one_at_a_time_they_run_in_order_and_keep_their_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    said = []
    runs = [FakeRun(tmp_path / name, ENVIRONMENT) for name in "ab"]
    run_all(runs, said.append, side_by_side=False)
    assert [line[:8] for line in said] == ["[1/2] a:", "[2/2] b:"]
    assert environments(tmp_path / "a", 1)[0]["OMP_NUM_THREADS"] == "7"


@pytest.mark.usefixtures("_interruptible")
def test_interrupting_ends_the_processes_too(tmp_path):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    log = tmp_path / "log0.txt"

    def interrupt():
        while not (log.exists() and log.read_text().strip()):
            time.sleep(0.02)
        time.sleep(0.2)  # a signal just before the wait would be noticed after it
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        launch(python(code), tmp_path)
    pid = log.read_text().strip()
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", pid], capture_output=True, text=True).stdout
        if not state.strip() or state.startswith("Z"):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs: {state}")
