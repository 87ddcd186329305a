"""Where a run is cut makes no difference, whatever its schedule, steps, validations and loggers."""

from pathlib import Path

import pytest
import resume_matrix
from processes import run_nodes

PAGE = Path(__file__).parents[1] / "docs/reference/resuming.md"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return resume_matrix.Runs(tmp_path_factory.mktemp("matrix"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", resume_matrix.pairwise(), ids=str)
def test_a_run_that_was_cut_goes_on_to_the_bit(runs, case):
    assert runs.differences(case) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", resume_matrix.BESIDE)
def test_a_run_that_is_limited_or_scaled_goes_on_to_the_bit(runs, name):
    folder = runs.folder / name
    found = resume_matrix.beside(name, folder, runs.folder / "data")
    assert found == {"in a window": [], "after a step": []}


def test_two_processes_that_accumulate_go_on_to_the_bit(runs):
    folder = runs.folder / "two"
    run_nodes(resume_matrix.in_two_processes, folder, runs.folder / "data", folder=folder)


def test_the_page_says_what_these_tests_go_through():
    assert PAGE.read_text() == resume_matrix.page()
