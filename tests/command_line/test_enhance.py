import json
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from enhancing import real_radiograph, save, small_checkpoint

from radenhance.cli import main
from radenhance.inference.guard.guard import Calibration
from radenhance.inference.model import open_enhancer
from radenhance.reference_enhancer.presets import PRESETS


def fails(capsys, *arguments, code=2):
    assert main(["enhance", *map(str, arguments)]) == code
    return capsys.readouterr().err.splitlines()[-1]


def test_a_checkpoint_and_a_folder_give_derived_images_and_a_report(capsys):
    save(real_radiograph(), "in/a.dcm")
    checkpoint = str(small_checkpoint(output="correction"))
    arguments = ["enhance", checkpoint, "in", "--out=out", "--report=run.json", "--device=cpu"]
    assert main(arguments) == 0
    report = json.loads(Path("run.json").read_text())
    (file,) = report["files"]
    derived = pydicom.dcmread(f"out/{file['output']}")
    assert "SHA-256" in derived.DerivationDescription
    assert derived.DerivationDescription == report["enhancer"]
    assert capsys.readouterr().out.startswith("1 file: 1 enhanced. Images and list")


def test_predict_gives_the_same_pixels(tiny_dataset):
    checkpoint = str(small_checkpoint(output="correction", image_size=32))
    files, quiet = str(tiny_dataset / "raw"), "--trainer.enable_progress_bar=false"
    assert main(["enhance", checkpoint, files, "--out=out", "--device=cpu"]) == 0
    flags = [f"--data.predict_from={files}", "--output.folder=predicted", quiet]
    assert main(["predict", f"--ckpt_path={checkpoint}", "--trainer.accelerator=cpu", *flags]) == 0
    for number in range(8):
        enhanced, predicted = (
            cv2.imread(f"{folder}/case{number}.png", cv2.IMREAD_UNCHANGED)
            for folder in ("out", "predicted")
        )
        assert enhanced.shape == (70 + number, 80)
        np.testing.assert_array_equal(enhanced, predicted)


def test_a_mistake_in_what_is_named_is_one_sentence(capsys):
    save(real_radiograph(), "in/a.dcm")
    small_checkpoint()
    assert "name radiographs or their folder" in fails(capsys, "small.ckpt", "--out=out")
    assert "nowhere: no such file" in fails(capsys, "nowhere", "--out=out")
    assert "CHECKPOINT none.ckpt: no such file" in fails(capsys, "none.ckpt", "in", "--out=out")
    for flag in ("--preset=bone", "--compare"):
        assert "takes no CHECKPOINT" in fails(capsys, "small.ckpt", "in", "--out=o", flag)
    for flag in ("--at=native", "--symmetric"):
        assert "of a network; name its CHECKPOINT" in fails(capsys, "in", "--out=o", flag)
    assert "--bits is 3, expected 8 to 16" in fails(capsys, "in", "--out=out", "--bits=3")
    assert "best" in fails(capsys, "best", "in", "--out=out")
    device = fails(capsys, "small.ckpt", "in", "--out=out", "--device=abacus")
    assert "device is 'abacus', expected cpu" in device
    Path("empty").mkdir()
    assert "no raw radiograph is among these files" in fails(capsys, "empty", "--out=out")


def test_files_that_fail_are_exit_code_4(capsys):
    save(real_radiograph(), "in/a.dcm")
    Path("in/b.dcm").write_bytes(Path("in/a.dcm").read_bytes()[:-999])
    assert "1 of 2 files could not be enhanced" in fails(capsys, "in", "--out=out", code=4)
    assert Path("out/enhance.jsonl").exists()


def test_presets_are_drawn_side_by_side_and_nothing_else_is_written(capsys):
    for number in range(2):
        save(real_radiograph(number), f"in/{number}.dcm")
    Path("in/cut.dcm").write_bytes(Path("in/0.dcm").read_bytes()[:-999])
    assert main(["enhance", "in", "--out=out", "--compare"]) == 0
    assert [path.name for path in Path("out").iterdir()] == ["presets.png"]
    assert "the presets on 2 images" in capsys.readouterr().out
    rows, columns = cv2.imread("out/presets.png", cv2.IMREAD_UNCHANGED).shape
    assert columns > 360 * (1 + len(PRESETS))
    assert rows > 4 * 360
    Path("none").mkdir()
    assert "no raw radiograph" in fails(capsys, "none", "--out=out", "--compare")


@pytest.mark.parametrize("name", ["a.dcm", "--out=x"])
def test_names_that_look_like_flags_are_files(name, tmp_path):
    save(real_radiograph(PatientName="X", PatientID="P-1"), f"in/{name}")
    assert main(["enhance", "in", "--out=out"]) == 0
    assert len([*Path("out").rglob("*.dcm")]) == 1


def test_the_guard_of_another_checkpoint_is_refused_and_that_of_this_one_taken(capsys):
    save(real_radiograph(), "in/a.dcm")
    checkpoint = str(small_checkpoint(output="correction"))
    sha256 = open_enhancer(checkpoint, device="cpu").sha256
    Calibration(sha256, [1e9] * 3, factor=1.0, at="auto").write(Path("guard.json"))
    Calibration("0" * 64, [1e9] * 3, factor=1.0, at="auto").write(Path("other.json"))
    flags = ["in", "--out=out", "--device=cpu"]
    assert main(["enhance", checkpoint, *flags, "--guard=guard.json", "--refuse"]) == 0
    assert "Guard: no structure" in Path("out/enhance.jsonl").read_text()
    assert "calibrates the guard for" in fails(capsys, checkpoint, *flags, "--guard=other.json")
    assert "for --at auto, got --at native" in fails(
        capsys, checkpoint, *flags, "--guard=guard.json", "--at=native"
    )
    assert "calibrated for one network" in fails(capsys, *flags, "--guard=guard.json")
    assert "--refuse needs --guard FILE" in fails(capsys, checkpoint, *flags, "--refuse")


def test_flags_may_stand_between_the_checkpoint_and_the_files():
    save(real_radiograph(), "in/a.dcm")
    checkpoint = str(small_checkpoint())
    assert main(["enhance", checkpoint, "--at", "native", "in", "--device=cpu", "--out=out"]) == 0
    assert len([*Path("out").rglob("*.dcm")]) == 1
