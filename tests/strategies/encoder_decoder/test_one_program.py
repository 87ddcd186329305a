"""Two processes are one program: whatever users keep and decide is the same in both, or refused."""

from pathlib import Path

import pytest
import torch
from one_program import NOT_EXACT, REFUSED, RUNS, all_refusals, all_runs
from processes import run, run_nodes

ROOT = Path(__file__).parents[3]


def test_the_documentation_has_a_row_for_each_case_and_no_other():
    text = (ROOT / "docs/reference/strategies.md").read_text()
    _, _, table = text.partition(
        "| behaviour | one device | encoder | decoder |\n|---|---|---|---|\n"
    )
    rows = [line.split(" | ") for line in table.split("\n\n")[0].splitlines()]
    assert [row[0].removeprefix("| ") for row in rows] == [*RUNS, *REFUSED]
    refused = {row[0].removeprefix("| ") for row in rows if row[-1].startswith("refused")}
    assert refused == REFUSED.keys()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    pipeline = {"micro_batch_size": 2, "timeout_s": 30.0}
    run_nodes(all_runs, str(folder / "of"), pipeline, list(RUNS), folder=folder / "run")
    return [torch.load(folder / f"of-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    run(all_runs, str(folder / "of"), {}, [*RUNS], folder=folder / "run")
    return torch.load(folder / "of-0.pt", weights_only=True)


@pytest.mark.parametrize("case", RUNS)
def test_both_processes_have_the_whole_state_after_every_epoch(two, case):
    decoder, encoder = (of[case] for of in two)
    assert len(decoder["states"]) >= 3
    for ours, theirs in zip(encoder["states"], decoder["states"], strict=True):
        assert ours == theirs
    for name, tensor in decoder["weights"].items():
        assert torch.equal(encoder["weights"][name], tensor), name


@pytest.mark.parametrize("case", sorted(RUNS.keys() - NOT_EXACT))
def test_and_it_is_that_of_one_device(two, one, case):
    for ours, theirs in zip(two[0][case]["states"], one[case]["states"], strict=True):
        assert ours == theirs
    for name, tensor in one[case]["weights"].items():
        assert torch.equal(two[0][case]["weights"][name], tensor), name


def test_a_stem_on_both_devices_trains_as_one_device_but_for_the_order_of_sums(two, one):
    for name, tensor in one["a stem on both"]["weights"].items():
        assert torch.allclose(two[0]["a stem on both"]["weights"][name], tensor), name


def test_predictions_of_any_class_come_back_in_both_and_are_written_once(two, one):
    expected = one["predict"]
    assert len(expected["written"]) == 4  # three batches and the epoch
    assert two[0]["predict"] == expected
    assert two[1]["predict"] == {"predictions": expected["predictions"], "written": []}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    run_nodes(all_refusals, str(folder / "of"), folder=folder / "run")
    return [torch.load(folder / f"of-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_one_program_is_refused_by_both_in_a_sentence(refused, case):
    expected = REFUSED[case][1]
    for said in refused:
        assert expected in said[case]
