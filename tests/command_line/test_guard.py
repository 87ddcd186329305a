"""`radenhance guard`: a calibration of a checkpoint, which names no case."""

from pathlib import Path

from old_checkpoints import write_old_checkpoint

from radenhance.cli import main
from radenhance.inference.guard.guard import Calibration
from radenhance.prepare.target import sha256_of


def test_a_calibration_belongs_to_its_checkpoint_and_names_no_case(tiny_dataset, capsys):
    write_old_checkpoint("original", "old.ckpt")
    assert main(["guard", "--ckpt_path=old.ckpt", f"--root={tiny_dataset}", "--at=native"]) == 0
    calibration = Calibration.read(Path("guard.json"))
    assert calibration.checkpoint_sha256 == sha256_of(Path("old.ckpt"))
    assert calibration.at == "native"
    assert sum(calibration.num_images.values()) == 2
    assert "case" not in Path("guard.json").read_text()
    assert "Validation radiographs: 2" in capsys.readouterr().out


def test_a_checkpoint_that_is_not_there_is_answered_in_a_sentence(capsys):
    assert main(["guard", "--ckpt_path=none.ckpt"]) == 2
    assert "none.ckpt" in capsys.readouterr().err
