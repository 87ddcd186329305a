"""The command line: what it finds, and what it says to a user's mistake."""

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from radenhance import __version__
from radenhance.cli import COMMANDS, main
from radenhance.dataset.manifest import Pair, write_manifest
from radenhance.dataset.pairs import PairDataset
from radenhance.enhancer import ContrastEnhancer
from radenhance.flags.parser import parse_flags
from radenhance.flags.recipes import recipes


def fails(capsys, *arguments, code=2):
    """Run a command that must fail with one clear message; return it."""
    assert main(list(arguments)) == code
    errors = capsys.readouterr().err
    message = errors[errors.index("radenhance: ") :]
    assert "Traceback" not in errors
    assert len(message.strip().splitlines()) == 1, message
    return message


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_answer_at_once_without_torch(flag):
    before = os.times()
    code = (
        "import sys; from radenhance.cli import main; main(sys.argv[1:]); "
        "sys.exit('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True)
    assert result.returncode == 0
    after = os.times()  # processor time, which other work on the machine does not lengthen
    assert sum(after[2:4]) - sum(before[2:4]) < 1
    assert (
        __version__ in result.stdout or "radenhance fit --config quickstart.yaml" in result.stdout
    )


def test_the_collector_of_cycles_rests_while_a_command_is_imported(monkeypatch, tmp_path):
    (tmp_path / "a_command.py").write_text(
        "import gc\nrests = not gc.isenabled()\nrun = []\nmain = run.append\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "probe", "a_command")
    frozen = gc.get_freeze_count()
    for _ in range(2):
        assert main(["probe", "flag"]) == 0
        assert gc.isenabled()
    command = sys.modules.pop("a_command")
    assert command.rests
    assert command.run == [["probe", "flag"]] * 2
    assert gc.get_freeze_count() > frozen


def test_unknown_command_is_answered_with_those_there_are(capsys):
    assert "no command train; it has fit, validate" in fails(capsys, "train")


def configured(capsys, *arguments):
    """The configuration that `fit` would run with."""
    with pytest.raises(SystemExit, match="0"):
        main(["fit", *arguments, "--print_config"])
    return capsys.readouterr().out


def test_shipped_recipe_is_found_from_any_folder(tiny_flags, capsys):
    printed = configured(capsys, "--config", "original.yaml", *tiny_flags)
    assert "encoder: tu-mobilenetv3_small_050" in printed  # a flag goes above the recipe
    assert "max_epochs: 50" in printed


def test_later_configs_and_flags_go_above_earlier_ones(capsys):
    Path("mine.yaml").write_text("data:\n  image_size: 300\n  batch_size: 3\n")
    arguments = ["--config", "quickstart.yaml", "--config", "mine.yaml", "--data.batch_size", "5"]
    printed = configured(capsys, *arguments)
    assert "image_size: 300" in printed
    assert "batch_size: 5" in printed
    assert "encoder: resnet18" in printed


def test_a_file_of_the_user_goes_before_a_recipe_of_the_same_name(capsys):
    Path("quickstart.yaml").write_text("data:\n  image_size: 333\n")
    assert "image_size: 333" in configured(capsys, "--config", "quickstart.yaml")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "no.yaml"], "--config no.yaml: no such file, nor a built-in recipe"),
        (["--model.encodr", "resnet18"], "encodr"),
        (["--data.batch_size", "many"], "batch_size"),
        (["--trainer.max_epok", "3"], "max_epok"),
        (["--model.encoder", "resnet35"], "--model.encoder is 'resnet35', expected an encoder"),
        (["--data.root", "nowhere"], "--data.root nowhere: no such folder"),
        (["--ckpt_path", "gone.ckpt"], "--ckpt_path gone.ckpt: no such file"),
        (["--ckpt_path", "last"], "no run under lightning_logs has a checkpoint of that name"),
        (["--trainer.accelerator", "abacus"], "abacus"),
        (["--model.num_scales", "7"], "--model.num_scales is 7, expected 1 to 5 scales"),
        (["--data.image_size", "-5"], "--data.image_size is -5, expected native or at least 1"),
        (["--data.batch_size", "0"], "--data.batch_size is 0, expected at least 1"),
        (["--model.optimizer=Adam", "--model.optimizer.lr=-1"], "Invalid learning rate: -1.0"),
        (["--seed_everything", "-3"], "--seed_everything: -3 is not in bounds"),
        (
            ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=no/such"],
            "metric `no/such` which is not available",
        ),
    ],
)
def test_a_wrong_flag_is_named_in_one_sentence(capsys, tiny_flags, arguments, expected):
    assert expected in fails(capsys, "fit", *tiny_flags, *arguments)


def test_another_optimizer_than_the_checkpoints_is_told_which(capsys, tiny_flags):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    other = ["--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.1"]
    message = fails(capsys, "fit", *tiny_flags, *other, "--ckpt_path=last")
    assert "made with --model.optimizer Adam, whose state does not fit SGD" in message


def test_a_wrong_key_in_a_recipe_is_named(capsys):
    Path("wrong.yaml").write_text("model:\n  alpah: 3\n")
    assert "alpah" in fails(capsys, "fit", "--config", "wrong.yaml")


def test_a_recipe_that_is_not_yaml_is_named(capsys):
    Path("wrong.yaml").write_text("model: [1, 2\n")
    assert "wrong.yaml" in fails(capsys, "fit", "--config", "wrong.yaml")


def test_an_unpaired_image_is_named(capsys, tiny_flags, tiny_dataset):
    (tiny_dataset / "pairs.csv").unlink()
    (tiny_dataset / "target" / "case3.npy").unlink()
    assert "raw/case3.npy has no partner" in fails(capsys, "fit", *tiny_flags)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_is_no_image_is_named_also_by_a_worker(
    capsys, tiny_flags, tiny_dataset, num_workers
):
    (tiny_dataset / "raw" / "case7.npy").write_text("hello")
    message = fails(capsys, "fit", *tiny_flags, f"--data.num_workers={num_workers}")
    assert "case7.npy" in message


def test_an_image_too_small_for_the_loss_is_told_the_remedy(capsys, tiny_flags):
    message = fails(capsys, "fit", *tiny_flags, "--model.num_scales=5")
    assert "at least 161 pixels a side, got 64; use --model.num_scales=3 or auto" in message


def test_images_of_different_size_in_one_batch_are_told_the_remedy(capsys, tiny_flags):
    message = fails(capsys, "fit", *tiny_flags, "--data.image_size=native")
    assert "differ in size" in message
    assert "--data.batch_size=1" in message


def test_a_loss_that_is_not_a_number_stops_and_says_in_which_cases(capsys, tiny_flags, monkeypatch):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    last = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")
    good = last.read_bytes()
    get = PairDataset.__getitem__

    def poisoned(self, draw):
        sample = get(self, draw)
        if sample["case"] == "case 3":
            sample["target"] *= np.nan
        return sample

    monkeypatch.setattr(PairDataset, "__getitem__", poisoned)
    message = fails(
        capsys, "fit", *tiny_flags, "--trainer.max_epochs=2", "--ckpt_path=last", code=3
    )
    assert "the loss became nan at step" in message
    assert "case 3" in message
    assert ".npy" not in message
    assert last.read_bytes() == good


def test_a_gradient_that_is_not_a_number_never_reaches_the_weights(capsys, tiny_flags, monkeypatch):
    step = ContrastEnhancer.training_step

    def exploding(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        if self.global_step == 4:
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    monkeypatch.setattr(ContrastEnhancer, "training_step", exploding)
    message = fails(
        capsys,
        *("fit", *tiny_flags, "--trainer.max_epochs=2", "--last_checkpoint.every_n_steps=1"),
        code=3,
    )
    assert "the gradient became" in message
    kept = torch.load("lightning_logs/fit_64_0/checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == 4
    assert all(t.isfinite().all() for t in kept["state_dict"].values())


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint_whole(capsys, tiny_flags, monkeypatch):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    last = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")
    good = last.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    more = ["--trainer.max_epochs=2", "--ckpt_path=last"]
    message = fails(capsys, "fit", *tiny_flags, *more, code=4)
    assert "cannot be written: its disk or quota is full" in message
    assert last.read_bytes() == good
    assert not list(last.parent.glob(".*.part"))


def test_flags_go_above_the_hyperparameters_of_a_checkpoint(tiny_flags):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0

    checkpoint = "--ckpt_path=lightning_logs/fit_64_0/checkpoints/last.ckpt"
    bare = parse_flags("validate", [checkpoint]).settings
    assert bare.model.encoder == "tu-mobilenetv3_small_050"
    assert bare.model.num_scales == "auto"
    assert bare.data.image_size == 64
    given = parse_flags("fit", [checkpoint, "--model.num_scales=2"]).settings
    assert given.model.num_scales == 2


def test_validate_test_and_predict_use_the_best_checkpoint_when_none_is_named(
    capsys, tiny_flags, tiny_dataset
):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    root = f"--data.root={tiny_dataset}"
    quiet = "--trainer.enable_progress_bar=false"
    assert main(["validate", root, quiet]) == 0
    printed = capsys.readouterr().out
    assert "val/ms_ssim" in printed
    assert "identity/ms_ssim" in printed
    assert "no pair in split test" in fails(capsys, "test", root, quiet)
    assert main(["predict", f"--data.predict_from={tiny_dataset / 'raw'}", quiet]) == 0
    assert sorted(p.name for p in Path("enhanced").iterdir()) == [f"case{i}.png" for i in range(8)]


def test_a_checkpoint_of_another_network_is_refused(capsys, tiny_flags):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    message = fails(capsys, "fit", *tiny_flags, "--model.encoder=resnet18", "--ckpt_path=last")
    assert "encoder tu-mobilenetv3_small_050, and this run has resnet18; give" in message
    message = fails(capsys, "fit", *tiny_flags, "--model.output=correction", "--ckpt_path=last")
    assert "was made with --model.output image, and this run has correction" in message


def test_a_file_that_is_no_checkpoint_is_refused(capsys, tiny_flags):
    Path("x.ckpt").write_text("hello")
    assert "x.ckpt is not a checkpoint" in fails(capsys, "fit", *tiny_flags, "--ckpt_path=x.ckpt")


@pytest.mark.parametrize(
    "flags",
    [["--trainer.logger=false"], ["--trainer.enable_checkpointing=false"]],
)
def test_logger_and_checkpoints_can_be_switched_off(tiny_flags, flags):
    assert main(["fit", *tiny_flags, "--trainer.fast_dev_run=1", *flags]) == 0


def test_predict_needs_something_to_predict(capsys, tiny_flags):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    assert "predict needs --data.predict_from" in fails(capsys, "predict")
    assert "no radiographs below it" in fails(capsys, "predict", "--data.predict_from=nowhere")


def test_test_measures_the_test_split(capsys, tiny_flags, tiny_dataset):
    pairs = [
        Pair(f"case{i}", f"p{i}", f"raw/case{i}.npy", f"target/case{i}.npy", split)
        for i, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    ]
    write_manifest(tiny_dataset, pairs)
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    assert main(["test", f"--data.root={tiny_dataset}", "--trainer.enable_progress_bar=false"]) == 0
    assert "test/ms_ssim" in capsys.readouterr().out


def test_recipes_are_built_in():
    assert {"original.yaml", "quickstart.yaml"} <= recipes().keys()


def test_momentum_of_a_checkpoint_is_a_default_too(tiny_flags, capsys):
    flags = [*tiny_flags, "--model.encoder=resnet18", "--trainer.max_epochs=1"]
    assert main(["fit", *flags, "--model.memory.momentum=0.8"]) == 0
    printed = configured(capsys, "--ckpt_path=last")
    assert "momentum: 0.8" in printed
    printed = configured(capsys, "--ckpt_path=last", "--model.memory.momentum=null")
    assert "momentum: null" in printed


def test_a_technique_that_cannot_work_is_refused_before_anything_runs(capsys, tiny_flags):
    message = fails(capsys, "fit", *tiny_flags, "--model.memory.momentum=0.9")
    assert "needs an encoder of residual layers" in message
