"""Text of others is read within bounds, or refused in a sentence."""

import os
import time
from pathlib import Path

import pytest
import yaml
from hostile_texts import TEXTS

from radenhance.errors import DatasetError, RadenhanceError
from radenhance.text_files import load_yaml, read_text, read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXTS[0], "more than 100000 values"),
        ("[" + "1," * 100_001 + "]", "more than 100000 values"),
        ("[" * 5000, "nested more than 32 levels"),
        ("{a: " * 5000, "nested more than 32 levels"),
        ("&a [*a]", "stands for itself"),
        ("a: *b", "for nothing"),
        ("a: " + "9" * 5000, "too many digits"),
        ("a: 1" + ":1" * 30_000, "too many digits"),
        ("a: " + "x" * 70_000, "more than 65536 characters"),
        ("a: 1\na: 2", "a is there twice"),
        ("!!python/object/apply:os.system [ls]", "the tag .*python/object"),
        ("!!binary Zm9v", "the tag"),
        ("!!bool x", "the tag"),
        ("a: 2001-13-45", "month must be in"),
        ("? [a]\n: 1", "unhashable"),
        ("a: \0", "control characters"),
        ("--- a\n--- b", "single document"),
    ],
)
def test_yaml_that_stands_for_more_than_plain_values_is_refused_at_once(text, message):
    start = time.perf_counter()
    with pytest.raises(yaml.YAMLError, match=message):
        load_yaml(text)
    assert time.perf_counter() - start < 5


def test_yaml_that_people_and_this_program_write_is_read():
    shared = [0.9, 0.999]
    value = {"a": shared, "b": shared, "c": {"d": None, "e": 1e-5, "f": "2001-02-03", 1: True}}
    text = yaml.safe_dump(value)
    assert "*" in text  # an alias
    assert load_yaml(text) == value
    assert load_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}")["y"] == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: \u00e9".encode("utf-16"), "not UTF-8"),
        ("name: \u00e9".encode("latin-1"), "not UTF-8"),
        (b"#" * (2**20 + 1), "larger than 1 MiB"),
        (b"a: \0", "zero bytes"),
        (b"a: [", "not YAML"),
        (b"a: !<" + b"x" * 5000 + b"> b", "not YAML"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_in_a_sentence_of_the_class_asked_for(content, message):
    Path("file.yaml").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_yaml(Path("file.yaml"), error=DatasetError)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_not_read():
    os.mkfifo("pipe")
    Path("folder").mkdir()
    for name in ("pipe", "folder", "nothing", "/dev/zero"):
        with pytest.raises(RadenhanceError, match="is not there, or is not a file"):
            read_text(Path(name), max_bytes=10)


def test_a_byte_order_mark_is_no_text():
    Path("file").write_bytes("\ufeffa".encode())
    assert read_text(Path("file"), max_bytes=10) == "a"
