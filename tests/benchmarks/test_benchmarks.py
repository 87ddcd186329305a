"""Every benchmark starts, and every benchmark command that is quoted anywhere is one."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import radenhance.reproduce.command as reproduce

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "harness")
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "configs").glob("*.yaml"),
    *(FOLDER / "results").glob("*.md"),
]


@pytest.fixture
def parser_of(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return lambda script: importlib.import_module(script).parser()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_without_arguments_and_its_help_says_how_long(script, parser_of):
    parser = parser_of(script)
    parser.parse_args([])
    text = parser.format_help()
    assert text.split("\n\n")[1].startswith("Claim: ")
    assert f"    python benchmarks/{script}.py\n" in text
    assert re.search(r"minutes?\b", text)


def quoted(pattern):
    return [
        pytest.param(command, id=f"{page.name}: {' '.join(command.split())}")
        for page in PAGES
        for command in re.findall(pattern, page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("command", quoted(r"(?m)(?:`|^    )python (benchmarks/[^`\n]*)"))
def test_a_quoted_command_is_one(command, parser_of):
    script, *words = shlex.split(command)
    parser_of(Path(script).stem).parse_args(words)


@pytest.mark.parametrize("script", quoted(r"benchmarks/\w+\.py"))
def test_a_named_script_is_there(script):
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("command", quoted(r"(?m)^    radenhance reproduce (.*)$"))
def test_a_study_whose_results_are_kept_can_be_asked_for_again(command):
    reproduce.study_of(reproduce.parser().parse_args(shlex.split(command)))


def test_make_bench_leaves_out_what_needs_a_gpu_and_nothing_else():
    makefile = (ROOT / "Makefile").read_text()
    (left_out,) = re.findall(r"^bench: NOT_RUN := (.*)$", makefile, re.M)
    assert set(left_out.split()) == {"benchmarks/harness.py", "benchmarks/on_gpu.py"}
