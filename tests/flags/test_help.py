"""The help of fit, validate, test and predict."""

import os
import re
import subprocess
import sys

import pytest

from radenhance.cli import main
from radenhance.flags.help import EXAMPLES, help_of
from radenhance.flags.parser import parser_for


def flags_in(text):
    return set(re.findall(r"^  (?:-\w \w+, )?--([\w.-]+)", text, re.M))


@pytest.mark.parametrize("command", EXAMPLES)
def test_it_has_every_flag_that_is_parsed_and_no_other(command):
    parsed = flags_in(parser_for(command).format_help())
    of_classes = {flag for flag in parsed if flag.endswith(".help")}
    # no recipe may set whether it is trusted
    assert flags_in(help_of(command)) - {"help", "trust-recipe"} == parsed - of_classes
    text = help_of(command).split("classes as values")[1]
    for flag in of_classes:
        assert flag.split(".")[1] in text, flag


def test_it_tells_what_this_program_is_about_first_and_the_trainer_last():
    text = help_of("fit")
    asked = ["--config", "--model.encoder", "--model.memory.", "--data.image", "--trainer.strategy"]
    asked += ["--last_checkpoint.", "--memory_profiler.", "--output.folder", "--best_checkpoint."]
    asked += ["--lr_monitor.", "--trainer.accelerator"]
    places = [text.index(flag) for flag in asked]
    assert places == sorted(places)


@pytest.mark.parametrize("command", EXAMPLES)
def test_it_ends_with_an_example_of_the_command(command):
    assert help_of(command).splitlines()[-1].startswith(f"  radenhance {command} ")


def test_it_shows_defaults_as_they_are_here():
    text = help_of("fit")
    assert re.search(r"--best_checkpoint.monitor MONITOR\n.*\(default val/loss\)", text)
    assert re.search(r"--trainer.max_epochs MAX_EPOCHS\n(.*\n)?.*\(default 50\)", text)
    assert "--model.memory.checkpointing none|stage|unit" in text


def test_it_has_no_paths_of_classes_and_no_markup():
    assert not re.search(r"lightning\.pytorch|torch\.optim|:class:|``", help_of("fit"))
    assert max(map(len, help_of("fit").splitlines())) <= 100


def test_it_is_there_at_once_without_torch():
    before = os.times()
    code = (
        "import sys; from radenhance.cli import main; main(['fit', '--help']); "
        "sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    after = os.times()  # processor time, which other work on the machine does not lengthen
    assert sum(after[2:4]) - sum(before[2:4]) < 1
    assert "--model.encoder" in result.stdout


def test_it_is_the_answer_wherever_it_is_asked(capsys):
    assert main(["predict", "--data.batch_size", "many", "-h"]) == 0
    assert capsys.readouterr().out == help_of("predict")


def test_a_class_among_the_flags_has_a_help_of_its_own(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--trainer.strategy.help", "EncoderDecoderStrategy"])
    assert "micro_batch_size" in capsys.readouterr().out
