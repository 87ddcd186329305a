"""The same tables as Markdown, as a page and as CSV, with what failed and where it ran."""

import csv
import re

import pytest

from radenhance.reproduce import report
from radenhance.reproduce.report import write_report
from radenhance.reproduce.results import Results
from radenhance.reproduce.tables import tables

RECIPES = ("original", "amp", "amp_chkp_mom", "amp_quant", "dist")
BASE = (6.0, 6.2, 6.1)


@pytest.fixture
def written(scene, monkeypatch):
    """Write a report without the images, which need trained networks; return its folder."""
    monkeypatch.setattr(report, "pictures", lambda results, folder: [])

    def write():
        page = write_report(Results(scene.study))
        assert page.name == "report.html"
        return page.parent

    return write


def test_markdown_page_and_csv_have_the_same_cells(scene, written):
    scene.finish_all(original=BASE, amp=BASE)
    folder = written()
    markdown = (folder / "report.md").read_text()
    page = (folder / "report.html").read_text()
    for table in tables(Results(scene.study)):
        with (folder / f"{table.name}.csv").open(newline="") as file:
            assert tuple(map(tuple, csv.reader(file))) == (table.columns, *table.rows)
        for row in (table.columns, *table.rows):
            assert f"| {' | '.join(row)} |" in markdown
        assert table.title.replace("'", "&#x27;") in page
    assert page.count("<tr>") == sum(len(table.rows) + 1 for table in tables(Results(scene.study)))


def test_it_opens_with_the_sentence_and_the_claims(scene, written):
    scene.finish_all(original=BASE, amp=(9.0, 9.3, 9.1))
    folder = written()
    lines = (folder / "report.md").read_text().splitlines()
    assert lines[2].startswith("**No technique is shown to keep")
    assert lines[4].startswith("- All 2 networks beat the raw image")
    assert lines[6].startswith("- AMP is WORSE than the original")
    assert "AMP is WORSE" in (folder / "report.html").read_text()


def test_it_says_what_failed_and_where_it_is_written_why(scene, written):
    scene.finish_all(original=BASE)
    scene.fail("amp", said="radenhance: raw/Quillfeather.dcm is cut off")
    folder = written()
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text()
        assert "amp at 512 px failed; failed.txt in its folder below runs/ says why" in text
        assert "Quillfeather" not in text


def test_it_says_how_much_of_the_study_is_done(scene, written):
    scene.finish("original")
    text = (written() / "report.md").read_text()
    assert "1 of 15 runs are done: ResNet-34, 512 px, 2 epochs, seeds 0, 1, 2" in text


def test_the_machine_is_that_of_the_runs_and_not_of_who_writes_the_report(scene, written):
    scene.finish("original")
    text = (written() / "report.md").read_text()
    assert "torch 2.5, lightning 2.4, Python 3.11.7; 64 cores, x86_64, NVIDIA RTX 2060." in text


def test_a_study_without_a_finished_run_is_a_report_of_plans(scene, written):
    folder = written()
    text = (folder / "report.md").read_text()
    assert "The original is not done yet" in text
    assert "0 of 15 runs are done" in text
    assert "| Original | total | 100 | - | planned |" in text


def test_every_figure_that_markdown_shows_is_there(scene, written):
    folder = written()
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (folder / "report.md").read_text())
    assert len(shown) == 2
    for name in shown:
        assert (folder / name).read_text().startswith("<svg")


def test_the_page_needs_no_other_file(scene, written):
    page = (written() / "report.html").read_text()
    assert "<svg" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_tables_and_figures_stand_in_their_order(scene, written):
    scene.finish_all(original=BASE, dist=BASE)
    text = (written() / "report.md").read_text()
    headings = re.findall(r"^## (Table \w+|Figure \d)", text, re.MULTILINE)
    assert headings == [
        "Figure 2", "Table I", "Table II", "Table III", "Figure 4", "Table IV", "Table V"
    ]  # fmt: skip


def test_the_first_figure_is_on_the_first_screen(scene, written):
    scene.finish_all(original=BASE, **dict.fromkeys(RECIPES[1:], BASE))
    text = (written() / "report.md").read_text()
    assert len(text.split("![")[0].splitlines()) < 20
