"""A family of hostile texts at every outlet: terminal, log, CSV, HTML, Markdown, and pictures."""

import csv
import html.parser
import io
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from radenhance.callbacks.dashboard import card, row
from radenhance.cli import main, say_errors
from radenhance.console import guard_logs, say, say_error
from radenhance.contact_sheet import Row, contact_sheet
from radenhance.dataset.manifest import header_columns, listed_pairs, write_manifest
from radenhance.dataset.pair import Pair
from radenhance.dicom.radiograph import Header
from radenhance.errors import RadenhanceError
from radenhance.foreign_text import from_csv, in_csv, in_html, in_markdown, one_line, printable
from radenhance.prepare.listing import write_lists
from radenhance.prepare.source import Rejected
from radenhance.reproduce.report import _csv
from radenhance.reproduce.tables import Table
from radenhance.web_page import html_table

OBEYED = {
    "colour": "a\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "8-bit escape": "\x9b2J",
    "bell": "a\x07",
    "backspace": "safe\b\b\b\bevil",
    "carriage return": "safe\revil",
    "nul": "a\x00b",
    "delete": "a\x7f",
    "right to left": "exe.\u202egnp.dcm",
    "isolate": "a\u2066b\u2069",
    "zero width": "ad\u200bmin",
    "line separator": "a\u2028radenhance: fine",
    "half a character": "raw/\udcff.dcm",
    "byte order": "\ufeffa",
    "tag": "a\U000e0041",
}
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|x", "@SUM(A1)", "\t=1", "\r=1", "＝1", "\n=1"]
MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=a>',
    "![x](http://e)",
    "`a` **b**",
    "|",
]
HARMLESS = ["Schäferhund", "猫", "raw/case 7.dcm", "50 % of µ", "a-b", "x = y", "e\u0301"]

hostile = pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED)


def obeyed_in(text):
    return [char for char in text if char in "".join(OBEYED.values()) and not char.isprintable()]


@hostile
def test_no_character_that_a_terminal_obeys_is_printed_on_either_output(text, capsys):
    say(f"first\n{text}")
    say_error(f"{text}\nradenhance: all is well")
    out, err = capsys.readouterr()
    assert not obeyed_in((out + err).replace("\n", ""))
    assert out.startswith("first\n")
    assert err.count("\n") == 1


@hostile
def test_an_error_of_any_command_is_one_harmless_line(text, capsys):
    def fail():
        raise RadenhanceError(f"{text}: cannot\nbe read")

    assert say_errors(fail) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not obeyed_in(error[:-1])


def test_a_hostile_file_name_reaches_the_terminal_as_text(capsys):
    Path("a\x1b[2J\nradenhance: fine").mkdir()
    assert main(["check", "a\x1b[2J\nradenhance: fine"]) == 2
    assert "\x1b" not in (error := capsys.readouterr().err)
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("command", ["prepare", "check", "synthesize", "showcase", "dashboard"])
def test_flags_that_a_shell_made_of_hostile_names_are_said_harmlessly(command, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([command, "a", "b", "--c\x1b[2J\nradenhance: fine"])
    error = capsys.readouterr().err
    assert "--c" in error
    assert "\x1b" not in error
    assert "radenhance: fine" not in error.splitlines()


@hostile
def test_logs_and_warnings_of_libraries_are_harmless_too(text):
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("lightning.pytorch")
    logger.addHandler(handler)
    try:
        guard_logs()
        logging.getLogger("lightning.pytorch.utilities").warning("read %s", text)
    finally:
        logger.removeHandler(handler)
    written = said.getvalue() + warnings.formatwarning(text, UserWarning, "file.py", 1, "")
    assert "read" in written
    assert not obeyed_in(written.replace("\n", ""))


def test_a_log_that_no_one_set_up_is_guarded(capsys, monkeypatch):
    guard_logs()
    logger = logging.getLogger("radenhance.dicom.somewhere")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logging.lastResort, "_stderr", sys.stderr, raising=False)
    logger.warning("view is %s", "\x1b[31mAP")
    assert r"view is \x1b[31mAP" in capsys.readouterr().err


def test_an_output_of_few_characters_gets_codes_for_the_others(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("猫")
    assert raw.getvalue() == b"\\u732b\n"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays_as_it_is(text):
    assert printable(text) == one_line(text) == in_csv(text) == from_csv(text) == text


def test_a_text_without_end_is_cut_and_both_its_ends_are_kept(capsys):
    cut = one_line("begin" + "x" * 10**6 + "end")
    assert len(cut) < 320
    assert cut.startswith("begin")
    assert cut.endswith("end")
    say_error("x" * 10**6)
    assert len(capsys.readouterr().err) < 4100


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text_to_a_spreadsheet_and_the_same_text_to_us(text):
    assert in_csv(text)[0] == "'"
    for cell in (text, f"'{text}", *HARMLESS, "'", "''", "", "'a"):
        assert from_csv(in_csv(cell)) == cell


@pytest.mark.parametrize("figure", ["-", "-1", "+1.5%", "-0.1% to +0.3%", "+1.0%, -2.0%", "1e"])
def test_a_figure_is_no_formula(figure):
    assert in_csv(figure) == figure
    assert in_csv(-1) == -1


@pytest.mark.parametrize("text", [*FORMULAS, *OBEYED.values()])
def test_no_csv_that_is_written_holds_a_formula_or_an_escape(text):
    write_lists(Path(), [], [Rejected(text, text)])
    table = _csv(Table("name", "title", ("a", "b"), ((text, text),)))
    for content in (Path("rejected.csv").read_text(), table):
        cells = [cell for line in csv.reader(io.StringIO(content)) for cell in line]
        assert not any(cell[:1] in "=+-@\t\r\n＝" for cell in cells if cell)
    assert not obeyed_in(Path("rejected.csv").read_text().replace("\n", "").replace("\r", ""))


@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS, "'=1", "-"])
def test_a_manifest_is_read_as_it_was_written(text):
    pair = Pair("a", "p", "raw/a", "target/a", "train", breed=text, notes=text, raw_sha256=text)
    write_manifest(Path(), [pair])
    assert listed_pairs(Path()) == [pair]
    write_manifest(Path(), listed_pairs(Path()))
    assert listed_pairs(Path()) == [pair]


@pytest.mark.parametrize("text", FORMULAS)
def test_columns_of_a_users_own_stay_as_they_are(text):
    pair = Pair("a", "p", "raw/a", "target/a", "train")
    content = io.StringIO()
    names = ["case_id", "raw_path", "target_path", "split", "mine"]
    csv.writer(content).writerows([names, ["a", "raw/a", "target/a", "train", text]])
    Path("pairs.csv").write_bytes(content.getvalue().encode())
    for _ in range(2):
        write_manifest(Path(), [pair])
        with Path("pairs.csv").open(newline="", encoding="utf-8") as file:
            (line,) = csv.DictReader(file)
        assert line["mine"] == in_csv(text)


@hostile
def test_values_of_headers_are_harmless_in_the_manifest(text):
    names = ("species", "breed", "body_part", "view", "manufacturer", "model", "photometric")
    columns = header_columns(Header(**dict.fromkeys(names, text)))
    assert not any(obeyed_in(str(columns[name])) for name in names)


@pytest.mark.parametrize("text", [*MARKUP, *OBEYED.values()])
def test_html_and_markdown_show_texts_and_no_markup(text):
    seen = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.append((tag, attributes))

    Reader().feed(html_table([], [[text]]) + f'<img alt="{in_html(text)}">')
    assert [tag for tag, _ in seen] == ["div", "table", "tr", "tr", "td", "img"]
    ours = {("class", kind) for kind in ("text", "word")}
    assert all(set(attributes) <= ours for _, attributes in seen[:-1])
    assert seen[-1] == ("img", [("alt", one_line(text))])
    assert not obeyed_in(in_html(text) + in_markdown(text))
    shown = in_markdown(text)
    assert not {"<", ">"} & set(shown)
    assert all(shown[i - 1] == "\\" for i, char in enumerate(shown) if char in "`*_[]|!")


@hostile
def test_the_card_and_the_table_of_runs_are_harmless(text):
    import torch

    told = card(f"radenhance fit {text}\n\n<b>x", torch.device("cpu"))
    command, *rest = told.split("\n")
    assert command.startswith("    radenhance fit")
    assert "<b>" not in "".join(rest)  # in the code of the command it is text
    assert not obeyed_in(told.replace("\n", ""))
    assert not obeyed_in(str(row({"recipe": text})))


@hostile
def test_a_picture_takes_any_title(text):
    image = np.zeros((4, 4), np.float32)
    assert contact_sheet([Row(text, [image], [text])]).shape[0] > 360
