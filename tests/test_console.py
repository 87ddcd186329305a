"""A command's answers are printed at once; advertisements of libraries are not."""

import io
import logging
import sys
import threading

import pytest

from radenhance.console import Parser, hush_libraries, say, say_error


def test_what_is_said_is_there_before_the_command_ends(capfd):
    say("two\nlines")
    assert capfd.readouterr().out == "two\nlines\n"


@pytest.mark.parametrize(
    ("message", "is_shown"),
    [("Tip: try litlogger", False), ("`weights_only` was not set", False), ("Seed set to 0", True)],
)
def test_an_advertisement_is_left_out_of_the_log_and_news_is_not(caplog, message, is_shown):
    hush_libraries()
    logging.getLogger("lightning.pytorch.utilities.rank_zero").warning(message)
    assert (message in caplog.text) == is_shown


def test_why_a_command_ends_is_one_line_that_moves_no_terminal(capfd):
    say_error("scan\x1b[2J.dcm is\nno radiograph")
    assert capfd.readouterr().err == "radenhance: scan\\x1b[2J.dcm is no radiograph\n"


@pytest.mark.parametrize("print_it", [say, say_error])
def test_a_terminal_that_has_no_such_letter_gets_its_number(monkeypatch, print_it):
    raw = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding="ascii"))
    print_it("Bella \N{LATIN SMALL LETTER O WITH STROKE}")
    assert b"Bella \\xf8" in raw.getvalue()


def test_a_flag_made_of_the_name_of_a_file_is_quoted_as_text(capfd):
    parser = Parser(prog="radenhance check")
    with pytest.raises(SystemExit):
        parser.parse_args(["--a\x1b]0;title\x07b"])
    error = capfd.readouterr().err
    assert "\\x1b]0;title" in error
    assert "\x1b" not in error


def test_what_ends_a_thread_of_ours_is_still_printed(capfd, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    hush_libraries()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert "ZeroDivisionError" in capfd.readouterr().err
