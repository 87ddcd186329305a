"""What validate and test print."""

from pathlib import Path

import pytest

from radenhance.cli import main
from radenhance.command_line.measures import measures_table
from radenhance.dataset.manifest import listed_pairs, write_manifest

MEASURED = {
    "val/psnr": 28.7,
    "val/ms_ssim": 0.98,
    "identity/ms_ssim": 0.9084,
    "identity/psnr": 21.5,
    "my/figure": 3.0,
}


def test_the_network_stands_beside_the_raw_image_with_units_and_what_it_is_logged_as():
    heading, *lines = measures_table(MEASURED, "val").splitlines()
    assert heading.startswith("mean of the val radiographs")
    assert heading.split()[5:] == ["network", "raw", "image", "logged", "as"]
    assert lines[0].split("  ")[0] == "MS-SSIM, 1 for equal images"
    assert lines[0].split()[-4:] == ["0.9800", "0.9084", "val/ms_ssim,", "identity/ms_ssim"]
    assert lines[1].startswith("PSNR, dB")


def test_figures_of_others_are_listed_by_their_names():
    assert measures_table(MEASURED, "val").splitlines()[-1].split() == ["my/figure", "3.0000"]


@pytest.fixture
def trained(tiny_flags, tiny_dataset, tmp_path):
    pairs = listed_pairs(tiny_dataset)
    object.__setattr__(pairs[0], "split", "test")
    write_manifest(tiny_dataset, pairs)
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    return [*tiny_flags, "--data.cache=false"]


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def test_validate_and_test_leave_nothing_behind_and_say_what_they_measured(
    trained, tmp_path, capsys
):
    before = files_below(tmp_path)
    for command, split in (("validate", "val"), ("test", "test")):
        capsys.readouterr()
        assert main([command, *trained]) == 0
        printed = capsys.readouterr().out
        assert f"mean of the {split} radiographs" in printed
        assert "DataLoader 0" not in printed
    assert files_below(tmp_path) == before


def test_they_are_silent_where_nothing_is_wanted_and_log_where_it_is(trained, capsys):
    capsys.readouterr()
    assert main(["validate", *trained, "--verbose=false", "--trainer.logger=CSVLogger",
                 "--trainer.logger.save_dir=logs"]) == 0  # fmt: skip
    assert "MS-SSIM" not in capsys.readouterr().out
    assert main(["validate", *trained, "--trainer.limit_val_batches=0"]) == 0
    assert "MS-SSIM" not in capsys.readouterr().out
    (logged,) = Path("logs").rglob("metrics.csv")
    assert "val/ms_ssim" in logged.read_text()
