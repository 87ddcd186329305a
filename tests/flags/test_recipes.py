"""Where `--config` finds recipes."""

import os
from pathlib import Path

import pytest

from radenhance.errors import UsageError
from radenhance.flags.parser import parse_flags
from radenhance.flags.recipes import find_recipes, recipes


@pytest.mark.parametrize("words", [["--config", "{}"], ["-c", "{}"], ["--config={}"]])
def test_a_built_in_recipe_is_found_by_its_name(words):
    found = find_recipes(["fit", *(word.format("original.yaml") for word in words)])
    assert found == ["fit", *(word.format(recipes()["original.yaml"]) for word in words)]


def test_a_file_here_goes_before_a_built_in_recipe():
    Path("original.yaml").write_text("data:\n  batch_size: 2\n")
    assert find_recipes(["--config", "original.yaml"]) == ["--config", "original.yaml"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no such file, nor a built-in recipe"), (b"a: [1", "not YAML"), (b"\xff", "not UTF-8")],
)
def test_what_is_no_recipe_is_named(content, expected):
    if content is not None:
        Path("mine.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=expected):
        parse_flags("fit", find_recipes(["--config", "mine.yaml"]))


def test_other_arguments_are_left_alone():
    assert find_recipes(["fit", "--data.root", "original.yaml", "--config"]) == [
        "fit",
        "--data.root",
        "original.yaml",
        "--config",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "is no recipe"),
        ("text", "is no recipe"),
        ("1: 2", "is no recipe"),
        ("model: other.yaml", "model is 'other.yaml'.*names no other file"),
        ("model: {memory: /dev/zero}", "model.memory is '/dev/zero'"),
        ("model: {memory: 1}", "model.memory is 1, expected flags"),
        ("trainer: https://localhost/a.yaml", "trainer is 'https"),
        ("data: [1]", r"data is \[1\]"),
        ("model: {optimizer: mine.yaml}", "mine.yaml is none of the classes"),
        ("model: {lr_scheduler: /dev/zero}", "lr_scheduler.*/dev/zero"),
        ("trainer: {logger: mine.yaml}", "mine.yaml is none of the classes"),
        ("config: other.yaml", "config is 'other.yaml'"),
        ("model: {encoder: a}\nmodel: {encoder: b}", "model is there twice"),
    ],
)
def test_a_recipe_is_flags_and_names_no_other_file_of_flags(text, expected):
    Path("mine.yaml").write_text(text)
    for words in (["--config", "mine.yaml"], ["-cmine.yaml"]):
        with pytest.raises(UsageError, match=expected):
            parse_flags("fit", find_recipes(words))


def test_a_pipe_or_a_folder_is_no_recipe():
    os.mkfifo("pipe.yaml")
    Path("folder.yaml").mkdir()
    for name in ("pipe.yaml", "folder.yaml", "/dev/zero"):
        with pytest.raises(UsageError, match="no such file"):
            find_recipes(["--config", name])
        with pytest.raises(UsageError, match="is not a file"):
            parse_flags("fit", ["-c", name])
