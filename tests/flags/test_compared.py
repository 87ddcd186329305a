"""What a run says of itself."""

from pathlib import Path

import pytest

from radenhance.flags.compared import LEFT_OUT, compared_flags, typed, without_places
from radenhance.flags.parser import parse_flags
from radenhance.flags.recipes import recipes


def test_the_command_line_is_shown_as_typed_but_for_folders_of_patients():
    recipe = recipes()["quickstart.yaml"]
    arguments = ["fit", "--config", str(recipe), f"--config={recipe}", "--data.root", "my data"]
    hidden = ["--data.predict_from", "exams/of Rex", "--output.folder=rex"]
    shown = ["--ckpt_path=last", "--data.cache=false", "--best_checkpoint.monitor", "val/loss"]
    assert typed([*arguments, *hidden, *shown]) == (
        "radenhance fit --config quickstart.yaml --config=quickstart.yaml --data.root ... "
        "--data.predict_from ... --output.folder=... --ckpt_path=last --data.cache=false "
        "--best_checkpoint.monitor val/loss"
    )
    assert typed([*arguments, *hidden], names=True).endswith(
        "--data.root 'my data' --data.predict_from 'exams/of Rex' --output.folder=rex"
    )


@pytest.mark.parametrize(
    "word",
    [
        "--config=/exports/Rex/mine.yaml",
        "--trainer.logger.init_args.save_dir=../Rex",
        '--data={"root": "Rex"}',
        "--ckpt_path=Rex.ckpt",
        "--model.encoder_weights=Rex.pth",
        "--trainer.default_root_dir=~/Rex",
    ],
)
def test_no_path_in_a_flag_is_shown_wherever_it_stands(word):
    flag = word.partition("=")[0]
    assert typed(["fit", word]) == f"radenhance fit {flag}=..."
    assert typed(["fit", *word.split("=", 1)]) == f"radenhance fit {flag} ..."


def test_a_saved_configuration_has_placeholders_for_places_and_all_the_rest():
    Path("Rex.pth").touch()
    given = {
        "data.root": "Rex",
        "data.cache": "Rex/cache",
        "model.encoder_weights": "Rex.pth",
        "trainer.default_root_dir": "Rex",
        "best_checkpoint.dirpath": "Rex",
        "data.batch_size": "3",
        "best_checkpoint.monitor": "val/ms_ssim",
    }
    flags = parse_flags("fit", [f"--{name}={value}" for name, value in given.items()])
    before = str(flags.settings)
    kept = without_places(flags.settings, flags.parser.get_defaults())
    assert "Rex" not in str(kept)
    assert kept.data.root == kept.model.encoder_weights == LEFT_OUT
    assert kept.trainer.default_root_dir is kept.best_checkpoint.dirpath is None
    assert (kept.data.cache, kept.data.batch_size) == (True, 3)
    assert kept.best_checkpoint.monitor == "val/ms_ssim"
    assert str(kept.output.folder) == "enhanced"  # the default, which says nothing
    assert str(flags.settings) == before


def test_places_in_callbacks_and_loggers_are_left_out_too():
    logger = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=/exports/Rex"]
    profiler = ["--trainer.callbacks=DeviceStatsMonitor", "--trainer.callbacks+=ModelCheckpoint"]
    flags = parse_flags("fit", [*logger, *profiler, "--trainer.callbacks.dirpath=../Rex"])
    assert "Rex" in str(flags.settings)
    assert "Rex" not in str(without_places(flags.settings, flags.parser.get_defaults()))


def test_runs_are_told_apart_by_recipe_techniques_and_what_matters():
    recipe = recipes()["amp_chkp.yaml"]
    given = [f"--config={recipe}", "--data.batch_size=3", "--data.num_workers=0"]
    compared = compared_flags(parse_flags("fit", given).settings)
    assert compared["recipe"] == "amp_chkp"
    assert "checkpointing" in compared["techniques"]
    assert compared["trainer.precision"] == "16-mixed"
    assert compared["data.batch_size"] == 3
    assert not any("num_workers" in name or "root" in name for name in compared)


def test_a_run_without_recipe_and_techniques_says_so():
    compared = compared_flags(parse_flags("fit", []).settings)
    assert (compared["recipe"], compared["techniques"]) == ("none", "none")
    assert compared["trainer.precision"] == "32-true"
    assert compared["model.optimizer.class_path"] == "torch.optim.Adam"
    assert compared["memory.momentum"] == "none"
