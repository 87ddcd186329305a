from pathlib import Path

import pytest
from small_package import in_folder, small_checkpoint, small_files, with_section

from radenhance.cli import main


def test_a_package_is_made_checked_and_validated(tiny_dataset, capsys):
    small_checkpoint("small.ckpt")
    made = ["small.ckpt", "made.zip", "--dataset", str(tiny_dataset), "--name", "Knees"]
    assert main(["package", *made]) == 0
    printed = capsys.readouterr().out
    assert "2 radiographs of split val: MS-SSIM with the target" in printed
    assert "radenhance package --check made.zip" in printed
    assert main(["package", "--check", "made.zip"]) == 0
    assert "made.zip: whole, and gives on this machine" in capsys.readouterr().out
    flags = [f"--data.root={tiny_dataset}", "--data.num_workers=0", "--trainer.logger=false"]
    assert main(["validate", "--ckpt_path=made.zip", *flags]) == 0


def test_prediction_takes_a_folder_and_a_fit_does_not_go_on_from_it(tiny_dataset, capsys):
    in_folder(small_files(), "made")
    flags = ["--ckpt_path=made", "--data.num_workers=0", "--trainer.accelerator=cpu"]
    predicted = [f"--data.predict_from={tiny_dataset / 'raw'}", "--output.folder=enhanced"]
    assert main(["predict", *flags, *predicted]) == 0
    assert len(list(Path("enhanced").rglob("*.png"))) == 8
    assert main(["fit", *flags, f"--data.root={tiny_dataset}", "--trainer.max_epochs=1"]) == 2
    assert "as a model package never does" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["small.ckpt"], ["a", "b", "--check", "c"]])
def test_half_a_command_is_answered_with_what_it_needs(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["package", *arguments])
    assert "give CHECKPOINT and OUT, or --check PACKAGE" in capsys.readouterr().err


def test_a_damaged_package_is_refused_in_one_line(capsys):
    in_folder(with_section(weights_sha256="0"), "made")
    assert main(["package", "--check", "made"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("radenhance: made is not a model package of radenhance, or damaged")
