import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from radenhance.cli import say_errors
from radenhance.dataset.manifest import listed_pairs, write_manifest
from radenhance.dataset.pair import Pair
from radenhance.dicom.read import read
from radenhance.prepare.check.command import check, compared, main
from radenhance.prepare.check.findings import ImageFindings, PairFindings, examine
from radenhance.prepare.synthesize import synthesize

ONE = ImageFindings(8, 8, 8, "", "", "LOG", 1.0, 0.0, 0.0, 8, pixels_hash="one")


def pair_in(split, patient):
    return Pair(case_id="case", raw_path="a", target_path="b", split=split, patient_id=patient)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Four cats and two dogs, raw DICOM and PNG targets, 100 to 200 pixels; all is right."""
    root = tmp_path_factory.mktemp("good") / "set"
    synthesize(root, counts={"cat": 4, "dog": 2, "turtle": 0}, spacing_mm=1.5, num_processes=1)
    return root


@pytest.fixture
def root(good, tmp_path):
    return shutil.copytree(good, tmp_path / "set")


def found(root):
    """Case -> (faults, warnings), each as one text, and the faults of the whole."""
    findings, of_dataset = check(root, num_processes=1)
    texts = {e.pair.case_id: ("; ".join(e.faults), "; ".join(e.warnings)) for e in findings}
    return texts, of_dataset


def change_target(root, case, function):
    path = str(root / f"target/{case}.png")
    cv2.imwrite(path, function(cv2.imread(path, cv2.IMREAD_UNCHANGED)))


def change_line(root, case, **columns):
    pairs = [replace(p, **columns) if p.case_id == case else p for p in listed_pairs(root)]
    write_manifest(root, pairs)


def exit_code(*arguments):
    return say_errors(lambda: main(["check", *map(str, arguments), "--processes=1"]))


def test_a_good_dataset_has_no_faults_and_trains(root, capsys):
    texts, of_dataset = found(root)
    assert of_dataset == ()
    assert len(texts) == 6
    assert all(faults == "" for faults, _ in texts.values())
    for told in (
        "shifted",
        "INVERTED",
        "orientation",
        "washed out",
        "pixel for pixel",
        "bits",
    ):
        assert all(told not in warnings for _, warnings in texts.values())
    assert exit_code(root) == 0
    output = capsys.readouterr().out
    assert "6 pairs: 0 with faults" in output
    assert "6 not reviewed by anyone; 0 with accept 0" in output


@pytest.mark.parametrize(("declared", "told"), [("", 0), ("black", 0), ("keep", 1)])
def test_what_is_declared_about_the_outside_of_the_field_is_compared(root, capsys, declared, told):
    if declared:
        (root / "dataset.yaml").write_text(f"outside_field: {declared}\n")
    few = listed_pairs(root)
    few = [next(p for p in few if p.split == split) for split in ("train", "val")]
    write_manifest(root, few)
    assert exit_code(root, "--json", root / "found.json") == 0
    said = capsys.readouterr().out
    assert "targets are black outside the exposed field in 2 of 2 images" in said
    assert said.count("dataset.yaml says outside_field: keep, but") == told
    assert said.count("set it to black there") == told
    found = json.loads((root / "found.json").read_text())
    assert found["outside_field"] == "black"
    assert [pair["outside_field"] for pair in found["pairs"]] == ["black", "black"]


TURNS = [
    (1, False, "turned by 90 degrees counterclockwise"),
    (2, False, "turned by 180 degrees"),
    (3, False, "turned by 90 degrees clockwise"),
    (0, True, "mirrored left to right"),
    (2, True, "mirrored top to bottom"),
    (1, True, "mirrored, and turned by 90 degrees counterclockwise"),
]


def turned(image, *, quarters, mirrored):
    return np.rot90(np.fliplr(image) if mirrored else image, quarters).copy()


@pytest.mark.parametrize(
    ("function", "fault", "warning"),
    [
        (lambda image: 65535 - image, "target is INVERTED against its raw image", ""),
        (lambda image: image[1:], "rows and columns, its raw image", ""),
        *(
            (partial(turned, quarters=quarters, mirrored=mirrored), f"target is {told} against", "")
            for quarters, mirrored, told in TURNS
        ),
        (lambda image: image * 0, "fits its raw image in none of eight orientations", ""),
        (lambda image: np.roll(image, 2, 0), "", "target is shifted by +"),
        (lambda image: np.roll(image, -1, 1), "", "rows and -"),
        (lambda image: image >> 4, "", "target is declared to have 16 bits (format), but its"),
        (lambda image: 30000 + (image >> 7), "", "target is washed out"),
        (lambda image: np.maximum(image, 65535 * (image > 99)), "", "target is saturated white"),
    ],
)
def test_a_wrong_target_is_told(root, function, fault, warning):
    pairs = listed_pairs(root)
    few = [next(p for p in pairs if p.split == split) for split in ("train", "val")]
    write_manifest(root, few)
    change_target(root, few[0].case_id, function)
    texts, _ = found(root)
    faults, warnings = texts.pop(few[0].case_id)
    assert fault in faults
    assert bool(fault) == bool(faults)
    assert warning in warnings
    assert all(faults == "" for faults, _ in texts.values())
    assert exit_code(root) == (2 if fault else 0)


def test_a_target_inverted_by_a_wrong_declaration_is_told_in_every_pair(root, capsys):
    (root / "dataset.yaml").write_text("target: {bone: dark}\n")
    texts, _ = found(root)
    assert all("INVERTED" in faults for faults, _ in texts.values())
    assert exit_code(root) == 2
    assert "6 of 6 pairs have faults" in capsys.readouterr().err


def test_bits_that_cannot_be_are_told(root):
    (root / "dataset.yaml").write_text("target: {bits: 12}\n")
    texts, _ = found(root)
    assert all("12 bits are declared" in faults for faults, _ in texts.values())


def test_files_that_are_missing_or_cut_off_are_told(root):
    (root / "target/cat000.png").unlink()
    raw = root / "raw/cat001.dcm"
    raw.write_bytes(raw.read_bytes()[:-100])
    texts, _ = found(root)
    assert texts["cat000"][0] == "target: No such file or directory"
    assert "raw: (7FE0,0010) Pixel Data is cut off" in texts["cat001"][0]


def test_duplicates_warn_within_a_split_and_are_faults_between_splits(root):
    pairs = {
        split: [p for p in listed_pairs(root) if p.split == split] for split in ("train", "val")
    }
    first, second, third = pairs["train"][:3]
    other = pairs["val"][0]
    # the same pixels in another file
    pixels = read(root / first.raw_path)
    assert pixels.bits == 14
    for copy in (second, other):
        shutil.copy(root / first.raw_path, root / copy.raw_path)
        shutil.copy(root / first.target_path, root / copy.target_path)
    texts, _ = found(root)
    number = {p: f"case {i}" for i, p in enumerate(listed_pairs(root), 1)}
    within = f"raw is pixel for pixel that of {number[second]} (train)"
    between = f"raw is pixel for pixel that of {number[other]} (val)"
    assert within in texts[first.case_id][1]
    assert between in texts[first.case_id][0]
    both = ", ".join(sorted((number[first], number[second])))
    assert f"that of {both} (train)" in texts[other.case_id][0]
    assert "pixel for pixel" not in "".join(texts[third.case_id])


def test_of_thousands_that_share_an_image_or_a_patient_a_few_are_named():
    made = [
        PairFindings(pair_in(split, "p"), ONE, ONE, case=f"case {i}")
        for i, split in enumerate(["train"] * 2999 + ["val"])
    ]
    findings = compared(made)
    assert max(len("".join([*e.faults, *e.warnings])) for e in findings) < 500
    last = "that of case 0, case 1, case 2 and 2996 more (train)"
    assert f"raw is pixel for pixel {last}" in findings[-1].faults
    assert "with case 0, case 1, case 2 and 2996 more" in findings[-1].faults[-1]
    assert "that of case 0, case 1, case 3 and 2995 more (train)" in findings[2].warnings[0]


@pytest.mark.parametrize(("asking", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_stops_a_check_sees_what_it_found(root, asking, code, monkeypatch, capsys):
    change_target(root, "cat001", lambda image: image.max() - image)
    looked = []

    def look(*arguments):
        if len(looked) == 3:
            os.kill(os.getpid(), asking)
        looked.append(arguments)
        return examine(*arguments)

    monkeypatch.setattr("radenhance.prepare.check.command.examine", look)
    assert exit_code(root, "--json", "all.json") == code
    printed = capsys.readouterr()
    assert "3 pairs: 1 with faults" in printed.out
    assert printed.out.rstrip().endswith(
        "stopped after 3 of 6 pairs; nothing is said of the others"
    )
    assert "stopped by " in printed.err.splitlines()[-1]
    assert not os.path.exists("all.json")


def test_a_patient_in_two_splits_is_a_fault_of_each_of_its_pairs(root):
    change_line(root, "cat000", patient_id="p", split="train")
    change_line(root, "cat001", patient_id="p", split="val")
    texts, _ = found(root)
    for case, other in (("cat000", "case 2"), ("cat001", "case 1")):
        assert f"its patient is in the splits train and val, also with {other}" in texts[case][0]


def test_rejected_pairs_are_listed_and_not_looked_at(root, capsys):
    change_line(root, "cat000", accept=0)
    change_line(root, "cat001", reviewed_by="AB")
    (root / "raw/cat000.dcm").unlink()
    assert exit_code(root) == 0
    output = capsys.readouterr().out
    assert "unused  case 1 " in output
    assert "4 not reviewed by anyone; 1 with accept 0" in output


def test_no_pair_that_validates_is_a_fault_of_the_dataset(root, capsys):
    write_manifest(root, [replace(p, split="train") for p in listed_pairs(root)])
    assert exit_code(root) == 2
    assert "0 of 6 pairs have faults and no pair in split val" in capsys.readouterr().err


def test_small_images_warn_of_the_loss(tiny_dataset):
    texts, _ = found(tiny_dataset)
    assert "needs 161; train with --model.num_scales=auto" in texts["case0"][1]
    assert texts["case0"][0] == ""


def test_without_a_manifest_pairs_are_found(tiny_dataset):
    (tiny_dataset / "pairs.csv").unlink()
    texts, of_dataset = found(tiny_dataset)
    assert len(texts) == 8
    assert of_dataset == ()


def test_names_are_told_to_those_who_ask_and_only_to_them(root, tmp_path, capsys):
    change_line(root, "cat001", reviewed_by="Dr Vane")
    texts = []
    for flags in ([], ["--log-names"]):
        assert exit_code(root, "--json", tmp_path / "a.json", *flags) == 0
        texts.append((capsys.readouterr().out, (tmp_path / "a.json").read_text()))
    (plain, plain_json), (named, named_json) = texts
    assert "cat001" not in plain
    assert "case 2, cat001" in named
    assert "cat001" not in plain_json
    assert "Vane" not in plain_json
    assert json.loads(plain_json)["pairs"][1]["reviewed"] is True
    second = json.loads(named_json)["pairs"][1]
    assert (second["case_id"], second["reviewed_by"]) == ("cat001", "Dr Vane")


def test_json_tells_all_and_the_sheet_shows_faults_first(root, tmp_path):
    change_target(root, "dog005", lambda image: 65535 - image)
    assert exit_code(root, "--json", tmp_path / "a.json", "--sheet", tmp_path / "a.png") == 2
    content = json.loads((tmp_path / "a.json").read_text())
    assert not content["trains"]
    (faulty,) = [pair for pair in content["pairs"] if pair["faults"]]
    assert faulty["case"] == "case 6"
    assert faulty["correlation"] < 0
    assert faulty["raw"]["bits"] == 14
    assert faulty["raw"]["bone_by"] == "(0028,1041) Pixel Intensity Relationship Sign"
    assert faulty["target"]["bone_by"] == "format"
    assert sum(sum(counts.values()) for counts in content["splits"].values()) == 6
    sheet = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_GRAYSCALE)
    first_target = sheet[30:380, 380:730]
    assert (first_target > 250).mean() > 0.2  # the blackened surroundings, inverted
