"""radenhance evaluate."""

import csv
import json
from pathlib import Path

import pytest
import torch
from evaluated import write_network, write_pairs

from radenhance.checkpoint import Checkpoint
from radenhance.cli import main
from radenhance.command_line import evaluate as command
from radenhance.inference.model import open_enhancer


@pytest.fixture
def root():
    write_network(Path("x.ckpt"))
    return write_pairs(Path("d"), ["train", "val", "test", "test"])


def test_the_test_split_is_measured_where_there_is_one_else_validation(root, capsys):
    assert main(["evaluate", "x.ckpt", "d", "--sheet=s.png", "--csv=f.csv", "--json=f.json"]) == 0
    printed = capsys.readouterr().out
    assert "test of d: 2 radiographs of 2 patients, whole, native size" in printed
    assert "MS-SSIM by species" in printed
    assert str(Path("s.png").resolve()) in printed
    rows = list(csv.DictReader(Path("f.csv").read_text().splitlines()))
    assert {row["case"] for row in rows} == {"case 3", "case 4"}
    assert "reference" in {row["method"] for row in rows}
    assert Path("s.png").stat().st_size > 1000
    asked = json.loads(Path("f.json").read_text())["asked"]
    assert (asked["split"], asked["size"], asked["at"]) == ("test", "native", "auto")
    assert "dataset" not in asked


def test_split_size_and_further_networks_are_flags(root, capsys):
    flags = ["--split=val", "--size=64", "--also=x.ckpt", "--at=compare", "--log-names"]
    assert main(["evaluate", "x.ckpt", "d", *flags, "--json=f.json", "--csv=f.csv"]) == 0
    assert "val of d: 1 radiograph of 1 patient, whole, 64 px" in capsys.readouterr().out
    content = json.loads(Path("f.json").read_text())
    assert [*content["networks"]] == [
        f"{name} ({way})" for name in ("network", "network 2") for way in ("native", "enlarged")
    ]
    assert content["asked"]["checkpoint"] == "x.ckpt"
    assert "raw/case1.npy" in Path("f.csv").read_text()


def test_targets_of_the_reference_enhancer_are_not_compared_with_it(capsys):
    write_network(Path("x.ckpt"))
    write_pairs(Path("d"), ["val"], reference=True)
    assert main(["evaluate", "x.ckpt", "d", "--size=64"]) == 0
    printed = capsys.readouterr().out
    assert "The reference enhancer has no line: it made 1 of the 1 targets." in printed
    assert "a fixed tone curve takes its place" in printed
    assert "\nreference " not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.ckpt", "d"], "gone.ckpt: no such file"),
        (["last", "d"], "no run under lightning_logs has a checkpoint"),
        (["x.ckpt", "nowhere"], "nowhere: no such folder"),
        (["x.ckpt", "d", "--csv=no/f.csv"], "no/f.csv cannot be written"),
        (["d/pairs.csv", "d"], "d/pairs.csv is not a checkpoint"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(root, arguments, message, capsys):
    assert main(["evaluate", *arguments, "--size=64"]) == 2
    errors = capsys.readouterr().err
    assert message in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_a_split_without_pairs_is_said(capsys):
    write_network(Path("x.ckpt"))
    write_pairs(Path("d"), ["train"])
    for split in ([], ["--split=test"]):
        assert main(["evaluate", "x.ckpt", "d", *split]) == 2
    assert "d has no pair in split test" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("size", ["31", "-5", "large"])
def test_a_size_that_is_none_is_said(size, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "x.ckpt", "d", f"--size={size}"])
    assert "expected native or a number of pixels from 32" in capsys.readouterr().err


def test_the_better_way_is_noted_in_the_checkpoint_and_taken_by_enhance(root, monkeypatch, capsys):
    monkeypatch.setattr(command, "better_way", lambda *_: "native")
    flags = ["--split=val", "--size=64", "--at=compare", "--keep"]
    before = Checkpoint.open("x.ckpt")
    assert main(["evaluate", "x.ckpt", "d", *flags]) == 0
    assert "x.ckpt notes native" in capsys.readouterr().out
    after = Checkpoint.open("x.ckpt")
    assert before.flags | {"data.predict_at": "native"} == after.flags
    for name, weight in before.content["state_dict"].items():
        assert torch.equal(weight, after.content["state_dict"][name])
    assert open_enhancer("x.ckpt", device="cpu").at == "native"
    assert open_enhancer("x.ckpt", device="cpu", at="training").at == "training"


def test_a_way_that_is_not_shown_to_be_better_is_not_noted(root, capsys):
    before = Path("x.ckpt").read_bytes()
    assert main(["evaluate", "x.ckpt", "d", "--split=val", "--at=compare", "--keep"]) == 0
    assert "which way is better is not shown" in capsys.readouterr().out
    assert Path("x.ckpt").read_bytes() == before


def test_nothing_is_noted_where_ways_are_not_compared(root, capsys):
    assert main(["evaluate", "x.ckpt", "d", "--keep"]) == 2
    assert "add --at compare" in capsys.readouterr().err
