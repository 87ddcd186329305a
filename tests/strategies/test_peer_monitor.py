"""Whatever becomes of one process, the other one ends in time and says what it was."""

import os
import signal
import threading
import time

import pytest
import torch
import torch.distributed as dist
from processes import LAST, command, free_port, start, start_nodes, wait_for_checkpoint

from radenhance.errors import StageError
from radenhance.strategies import peer_monitor
from radenhance.strategies.peer_monitor import NUM_BYTES, PeerMonitor

TIMEOUT_S = 8
PAIR, ROWS = "EncoderDecoderStrategy", "RowsStrategy"


@pytest.fixture
def flags(tiny_flags):
    return [
        "fit",
        *tiny_flags,
        "--trainer.num_nodes=2",
        "--trainer.devices=1",
        "--trainer.max_epochs=200",
        "--last_checkpoint.every_n_steps=1",
    ]


def by(strategy):
    return [
        f"--trainer.strategy=radenhance.strategies.{strategy}",
        f"--trainer.strategy.timeout_s={TIMEOUT_S}",
    ]


@pytest.mark.parametrize(
    ("strategy", "victim", "number", "sentence"),
    [
        (PAIR, 1, signal.SIGKILL, "the encoder (rank 1) died without a word at"),
        (PAIR, 0, signal.SIGKILL, "the decoder (rank 0) died without a word at"),
        (PAIR, 1, signal.SIGSTOP, f"nothing came from the encoder (rank 1) for {TIMEOUT_S} s at"),
        (ROWS, 0, signal.SIGKILL, "rank 0 died without a word at"),
        (ROWS, 1, signal.SIGSTOP, f"nothing came from rank 1 for {TIMEOUT_S} s at"),
    ],
)
def test_a_process_that_dies_or_hangs_ends_the_other_in_time(
    tmp_path, flags, strategy, victim, number, sentence
):
    both = start_nodes(command, *flags, *by(strategy), folder=tmp_path / "run")
    wait_for_checkpoint(tmp_path / "run", both)
    os.kill(both[victim].process.pid, number)
    since = time.monotonic()
    survivor = both[1 - victim].wait(TIMEOUT_S + 26)
    taken = time.monotonic() - since
    both[victim].process.kill()
    assert survivor.code == 5, survivor.output
    last_line = survivor.output.splitlines()[-1]
    assert last_line.startswith(f"radenhance: {sentence}"), survivor.output
    assert "epoch" in last_line or "validation batch" in last_line
    assert "Traceback" not in survivor.output
    assert taken < TIMEOUT_S + 25
    kept = torch.load(tmp_path / "run" / LAST, weights_only=True)
    assert kept["global_step"] > 0


@pytest.mark.parametrize("strategy", [PAIR, ROWS])
def test_a_signal_to_one_process_ends_the_command_in_both_with_a_checkpoint(
    tmp_path, flags, strategy
):
    both = start_nodes(command, *flags, *by(strategy), folder=tmp_path / "run")
    wait_for_checkpoint(tmp_path / "run", both)
    os.kill(both[1].process.pid, signal.SIGTERM)
    for process in both:
        assert process.wait(TIMEOUT_S + 26).code == 128 + signal.SIGTERM, process.output
    assert "Stopped by SIGTERM" in both[0].output


def test_an_error_of_one_process_is_said_by_both(tmp_path, flags):
    size = "--trainer.strategy.micro_batch_size=2"  # the batches are of 2, then of 3: not divisible
    flags = [*flags, *by(PAIR), "--data.batch_size=3", size]
    both = start_nodes(command, *flags, folder=tmp_path / "run")
    for process in both:
        process.wait(60)
        assert "a batch of 3 images cannot be divided into micro-batches of 2" in process.output
        assert "Traceback" not in process.output


@pytest.mark.parametrize(("strategy", "name"), [(PAIR, "the decoder (rank 0)"), (ROWS, "rank 0")])
def test_a_process_that_meets_no_other_says_where_it_waited(tmp_path, flags, strategy, name):
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "NODE_RANK": "0"}
    soon = "--trainer.strategy.timeout_s=2"
    flags = [*flags, *by(strategy), soon]
    alone = start(command, *flags, folder=tmp_path / "run", name="alone", **where)
    assert alone.wait(60).code == 5
    assert f"{name} met no other process at 127.0.0.1:" in alone.output


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("gloo: Connection timed out", "the connection to encoder broke at the start"),
        ("gloo: Timed out waiting 1000ms for recv", "nothing came from encoder for 1 s"),
    ],
)
def test_a_connection_that_broke_is_no_operation_that_took_too_long(monkeypatch, said, expected):
    """The kernel says of a connection that it timed out, as gloo says of an operation."""
    monkeypatch.setattr(dist, "get_rank", lambda group: 0)
    monkeypatch.setattr(dist, "recv", lambda *_, **__: threading.Event().wait())
    monkeypatch.setattr(dist, "send", lambda *_, **__: None)
    monkeypatch.setattr(peer_monitor, "HEAR_S", 0)
    monitor = PeerMonitor(None, ["decoder", "encoder"], timeout_s=1, moment=lambda: "the start")
    assert str(monitor.explain(RuntimeError(said))).startswith(expected)
    monitor.report(StageError("done"))  # it sends signs of life no more


def test_a_sentence_of_another_process_does_nothing_to_the_terminal(monkeypatch):
    said = list(b"the encoder\x1b[2J\nstopped\xff".ljust(NUM_BYTES, b"\0"))
    monkeypatch.setattr(dist, "get_rank", lambda group: 0)
    monkeypatch.setattr(dist, "recv", lambda tensor, **_: tensor.copy_(torch.tensor(said)))
    monitor = PeerMonitor(None, ["decoder", "encoder"], timeout_s=1, moment=lambda: "the start")
    explained = monitor.explain(RuntimeError("gloo: connection closed"))
    assert str(explained).isprintable()
    assert "stopped" in str(explained)
    monitor.report(StageError("done"))
