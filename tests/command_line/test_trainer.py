"""The trainer that flags describe."""

import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from processes import command, start

from radenhance.callbacks.dashboard import Dashboard
from radenhance.callbacks.last_checkpoint import LastCheckpoint
from radenhance.callbacks.previews import Previews
from radenhance.callbacks.run_folder import RunFolder
from radenhance.callbacks.stopwatch import Stopwatch
from radenhance.checkpoint import WholeFileCheckpointIO
from radenhance.command_line.trainer import make_trainer
from radenhance.errors import UsageError
from radenhance.flags.parser import parse_flags

TINY = [
    "--model.encoder=tu-mobilenetv3_small_050",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
]


def trainer_of(*flags):
    parsed = parse_flags("fit", [*TINY, *flags])
    return make_trainer(parsed, parsed.instantiate())


def kinds(trainer):
    return [type(callback) for callback in trainer.callbacks]


def test_every_fit_is_watched_and_checkpoints_come_last_the_best_before_the_last():
    found = kinds(trainer_of())
    assert {Stopwatch, Previews, Dashboard, LearningRateMonitor, RunFolder} <= set(found)
    assert found[-2:] == [ModelCheckpoint, LastCheckpoint]


def test_callbacks_that_have_nothing_to_do_are_left_out():
    found = kinds(trainer_of("--trainer.logger=false", "--trainer.enable_checkpointing=false"))
    assert not {LearningRateMonitor, ModelCheckpoint, LastCheckpoint} & set(found)


def test_a_named_callback_is_there_besides_the_others():
    named = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    assert {EarlyStopping, Dashboard} <= set(kinds(trainer_of(*named)))


def test_a_quick_try_makes_no_run():
    assert RunFolder not in kinds(trainer_of("--trainer.fast_dev_run=1"))


def test_checkpoints_appear_whole_or_not_at_all():
    assert isinstance(trainer_of().strategy.checkpoint_io, WholeFileCheckpointIO)


def test_a_flag_that_the_trainer_refuses_is_told_in_a_sentence():
    with pytest.raises(UsageError, match="abacus"):
        trainer_of("--trainer.accelerator=abacus")


def test_several_processes_do_not_validate_by_the_clock_of_each():
    clock, nodes = "--trainer.val_check_interval=00:00:10:00", "--trainer.num_nodes=2"
    with pytest.raises(UsageError, match="is a time, which 2 processes do not"):
        trainer_of(clock, nodes, "--trainer.strategy=ddp")
    trainer_of(clock)
    trainer_of("--trainer.val_check_interval=0.5", nodes, "--trainer.strategy=ddp")


@pytest.mark.parametrize("root", [".", "elsewhere"])
def test_only_a_run_that_goes_on_from_its_last_checkpoint_keeps_its_folder(root):
    former = Path(root) / "lightning_logs/version_3"
    (former / "checkpoints").mkdir(parents=True)
    for name, folder in (("last", former), ("best", None)):
        parsed = parse_flags("fit", TINY)
        object.__setattr__(parsed, "checkpoint", former / f"checkpoints/{name}.ckpt")
        trainer = make_trainer(parsed, parsed.instantiate())
        (found,) = (one for one in trainer.callbacks if isinstance(one, RunFolder))
        assert found.folder == folder


def test_checkpoints_are_read_by_us_whatever_other_plugin_is_named():
    plugin = "--trainer.plugins=lightning.pytorch.plugins.precision.Precision"
    for flags in ([], [plugin]):
        assert isinstance(trainer_of(*flags).strategy.checkpoint_io, WholeFileCheckpointIO)


def removed(folder):
    shutil.rmtree(folder)


def filled(folder):
    """Whatever is written to the log files from now on meets a full disk."""
    for file in [*folder.glob("events.*"), *folder.glob("metrics.csv")]:
        file.unlink()
        file.symlink_to("/dev/full")


def fit_whose_log_fails(fails, *arguments):
    """Fit, and let the log fail after the first epoch."""
    write = LastCheckpoint.on_train_epoch_end

    def write_then_fail(self, trainer, pl_module):
        write(self, trainer, pl_module)
        if trainer.current_epoch == 0:
            fails(Path(trainer.loggers[0].log_dir))

    LastCheckpoint.on_train_epoch_end = write_then_fail
    return command("fit", *arguments, "--trainer.max_epochs=3")


@pytest.mark.parametrize(
    ("logger", "fails", "reason"),
    [
        ("TensorBoardLogger", removed, "No such file or directory"),
        ("TensorBoardLogger", filled, "No space left on device"),
        ("CSVLogger", removed, "No such file or directory"),
        ("CSVLogger", filled, "No space left on device"),
    ],
)
def test_a_log_that_cannot_be_written_any_more_costs_a_run_its_curves_alone(
    tmp_path, tiny_flags, logger, fails, reason
):
    named = [f"--trainer.logger={logger}", "--trainer.logger.save_dir=logs"]
    flags = [*tiny_flags, *named, "--trainer.log_every_n_steps=1"]
    fit = start(fit_whose_log_fails, fails, *flags, folder=tmp_path / "run", name="alone").wait(90)
    assert fit.code == 0, fit.output
    assert fit.output.count("Curves and pictures of this run cannot be written any more") == 1
    assert reason in fit.output
    assert "Traceback" not in fit.output
    (last,) = (tmp_path / "run/lightning_logs").rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == 9
