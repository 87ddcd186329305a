"""Where a run is cut makes no difference, whatever its schedule, steps, validations and loggers."""

from pathlib import Path

import pytest
import resume_matrix

PAGE = Path(__file__).parents[1] / "docs/reference/resuming.md"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return resume_matrix.Runs(tmp_path_factory.mktemp("matrix"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", resume_matrix.pairwise(), ids=str)
def test_a_run_that_was_cut_goes_on_to_the_bit(runs, case):
    assert runs.differences(case) == []


def test_the_page_says_what_these_tests_go_through():
    assert PAGE.read_text() == resume_matrix.page()
