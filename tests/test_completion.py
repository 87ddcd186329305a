import re
import shutil
import subprocess

import pytest

from radenhance.cli import COMMANDS, main
from radenhance.completion import script, words_of
from radenhance.flags.recipes import recipes

HELPS = {
    "fit": """\
options:
  -h, --help            show this help message and exit
  -c CONFIG, --config CONFIG
                        path of a recipe, such as --recipe
  --model.memory.quantization {none,qat}
                        how to train (default: none)
  --data.root ROOT      dataset
""",
    "plan": """\
options:
  --sizes SIZES  sides
""",
    "folds": """\
options:
  --folds N  number
""",
    "completion": """\
positional arguments:
  {bash,zsh}
""",
}
WORDS = words_of(HELPS)


def completed(*words):
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    last = len(words) - 1
    ask = f'COMP_WORDS=({line}); COMP_CWORD={last}; _radenhance; echo "${{COMPREPLY[*]}}"'
    result = subprocess.run(
        ["bash", "-c", f"{script('bash', WORDS)}\n{ask}"], capture_output=True, text=True
    )
    assert result.stderr == ""
    return result.stdout.split()


def test_flags_are_those_that_stand_where_a_help_lists_them():
    assert WORDS.flags["fit"] == [
        "--config",
        "--data.root",
        "--help",
        "--model.memory.quantization",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("radenhance co", ["completion"]),
        ("radenhance fit --mod", ["--model.memory.quantization"]),
        ("radenhance plan --si", ["--sizes"]),
        ("radenhance plan --data", ["--data.root"]),
        ("radenhance folds --fo", ["--folds"]),
        ("radenhance folds --data", ["--data.root"]),
        ("radenhance fit --model.memory.quantization q", ["qat"]),
        ("radenhance fit --model.memory.quantization = q", ["qat"]),
        ("radenhance fit --ckpt_path b", ["best"]),
        ("radenhance completion z", ["zsh"]),
        ("radenhance fit --data.root q", []),  # bash goes on with files
    ],
)
def test_bash_completes(line, words):
    assert completed(*line.split()) == words


def test_bash_completes_recipes():
    assert completed("radenhance", "fit", "--config", "=") == sorted(recipes())


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_its_script():
    result = subprocess.run(
        ["zsh", "-n"], input=script("zsh", WORDS), capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_command_knows_the_flags_of_every_command(capsys):
    assert main(["completion", "bash"]) == 0
    printed = capsys.readouterr().out
    flags = dict(re.findall(r"^ +(\w+)\) echo '(--.*)' ;;$", printed, re.MULTILINE))
    assert flags.keys() == COMMANDS.keys()
    assert "--model.memory.checkpointing" in flags["fit"].split()
    assert "--gpu-memory" in flags["plan"].split()
    assert "--anonymize" in flags["prepare"].split()
