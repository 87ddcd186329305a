"""A command's answers are printed at once; advertisements of libraries are not."""

import logging

import pytest

from radenhance.console import hush_libraries, say


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
