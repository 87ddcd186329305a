"""The harness: tables that can be read and pasted, fair timing, failures told in a sentence."""

import importlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("harness")


def test_a_table_is_aligned_markdown_and_its_names_fit(harness, capsys):
    with harness.table("recipe", "time / original", names=["amp", "full_resolution"]) as row:
        row("amp", "0.54")
        row("full_resolution", 1)
    assert capsys.readouterr().out == (
        "| recipe          | time / original |\n"
        "| --------------- | --------------: |\n"
        "| amp             |            0.54 |\n"
        "| full_resolution |               1 |\n\n"
    )


def test_a_row_of_the_wrong_length_is_refused(harness):
    with (
        harness.table("recipe", "s") as row,
        pytest.raises(ValueError, match="a row has 3 cells, the table 2 columns"),
    ):
        row("amp", 1, 2)


def test_a_heading_names_command_machine_and_versions(harness, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/of/mine/speed.py", "--recipes", "a b"])
    harness.print_heading("batch 1")
    text = capsys.readouterr().out
    assert text.startswith("    python benchmarks/speed.py --recipes 'a b'\n\nradenhance ")
    assert "torch " in text
    assert f"{os.cpu_count()} cores" in text
    assert text.endswith("batch 1\n\n")
    assert "/somewhere" not in text


def test_pairs_are_timed_in_turns_after_a_call_that_does_not_count(harness):
    calls = []
    ratio = harness.paired(
        lambda: calls.append("base"),
        lambda: calls.append("other"),
        2,
        clock=lambda call: call() or 1,
    )
    assert calls == ["base", "other"] * 3
    assert (ratio.median, ratio.lowest, ratio.highest) == (1, 1, 1)


def test_load_that_falls_on_both_of_a_pair_leaves_the_ratio(harness):
    load = iter([1.0, 1.0, 9.0, 9.0, 1.0, 1.0])  # each pair as loaded as its two halves
    works = {"base": 2.0, "other": 3.0}
    ratio = harness.paired(
        lambda: "base", lambda: "other", 3, clock=lambda call: works[call()] * next(load)
    )
    assert (ratio.median, ratio.lowest, ratio.highest) == (1.5, 1.5, 1.5)


def test_the_ratio_spans_from_the_smallest_to_the_largest_pair(harness):
    times = iter([1, 2, 1, 5, 1, 3])
    ratio = harness.paired(lambda: None, lambda: None, 3, clock=lambda call: next(times))
    assert (ratio.median, ratio.lowest, ratio.highest) == (3, 2, 5)


def test_the_best_of_several_calls_is_the_fastest(harness, monkeypatch):
    ticks = iter([0, 5, 10, 12, 20, 29])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    assert harness.best(lambda: None, 3) == 2


def test_a_failing_fit_is_reported_in_one_sentence(harness, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        harness.fit({"--data.root": tmp_path / "nowhere"}, tmp_path / "run")
    message = str(stopped.value)
    assert message.startswith(f"the fit failed, see {tmp_path / 'run' / 'log0.txt'}: ")
    assert str(tmp_path / "nowhere") in message
    assert "\n" not in message


def test_resident_memory_that_a_call_needs_for_a_while_counts(harness):
    def hold(num_bytes):
        held = np.ones(num_bytes, np.uint8)
        time.sleep(0.3)  # other processes may keep the gauge from looking for a while
        return held[0]

    harness.resident_rise(lambda: hold(2**20))
    rise = harness.resident_rise(lambda: hold(200 * 2**20))
    assert 190 * 2**20 < rise < 230 * 2**20


def test_each_process_is_a_node_of_the_others(harness, monkeypatch):
    monkeypatch.delenv("NODE_RANK", raising=False)  # which a trainer may have left
    first, second = harness.in_processes(os.getenv, "NODE_RANK", num=2)
    assert (first, second) == ("0", "1")
    assert harness.in_processes(os.getenv, "NODE_RANK") == [None]


def test_what_fails_in_a_process_is_told(harness):
    with pytest.raises(Exception, match="No such file or directory: '/nowhere'"):
        harness.in_processes(os.listdir, "/nowhere")


def test_an_unknown_name_ends_in_a_sentence(harness):
    assert harness.chosen(None, ["amp", "mom"]) == ["amp", "mom"]
    assert harness.chosen(["mom"], ["amp", "mom"]) == ["mom"]
    with pytest.raises(SystemExit, match="ampp: not among amp, mom"):
        harness.chosen(["ampp"], ["amp", "mom"])
