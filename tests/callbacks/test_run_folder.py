"""A run is one thing: all that is its own lies in its folder, whatever logs it."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from radenhance.callbacks.last_checkpoint import LastCheckpoint
from radenhance.callbacks.run_folder import MetricsFile
from radenhance.cli import main
from radenhance.command_line import trainer as command_trainer

OWN = {"checkpoints", "config.yaml", "metrics.csv", "run.json"}


class Elsewhere(Logger):
    """A logger without a folder, which takes images, as W&B's offline is."""

    def __init__(self):
        super().__init__()
        self.images, self.metrics = [], set()

    @property
    def name(self):
        return None

    @property
    def version(self):
        return None

    def log_metrics(self, metrics, step=None):
        self.metrics |= metrics.keys()

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_image(self, key, images, step=None):
        self.images.append((key, [image.shape for image in images], step))


def rows_of(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def fit(tiny_flags, monkeypatch):
    """Fit with loggers that flags cannot name."""

    def run(*flags, loggers=None):
        if loggers is not None:
            made = loggers, {}
            monkeypatch.setattr(command_trainer, "loggers_of", lambda parsed: lambda *run: made)
        return main(["fit", *tiny_flags, "--trainer.log_every_n_steps=1", *flags])

    return run


def test_two_runs_of_a_logger_without_a_folder_keep_their_own_and_get_images(fit):
    one, other = Elsewhere(), Elsewhere()
    assert fit("--trainer.max_epochs=1", loggers=[one, other]) == 0
    assert fit("--trainer.max_epochs=2", loggers=[other]) == 0
    first, second = (Path(f"lightning_logs/fit_64_{i}") for i in (0, 1))
    assert {path.name for path in first.iterdir()} == OWN
    epochs = [torch.load(f / "checkpoints/last.ckpt")["epoch"] for f in (first, second)]
    assert epochs == [0, 1]
    assert {path.name for path in (first / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert [key for key, _, _ in one.images] == ["validation/best", "validation/worst"]
    assert len(other.images) == 6
    assert any(name.startswith("memory/") for name in one.metrics)
    assert not list(Path().glob("checkpoints"))


def test_a_run_without_a_logger_goes_on_in_its_folder_and_its_report_with_it(fit):
    assert fit("--trainer.max_epochs=1", "--trainer.logger=false") == 0
    (folder,) = Path("lightning_logs").iterdir()
    assert {path.name for path in folder.iterdir()} == OWN
    before, half = json.loads((folder / "run.json").read_text()), rows_of(folder)
    assert fit("--trainer.max_epochs=2", "--trainer.logger=false", "--ckpt_path=last") == 0
    assert list(Path("lightning_logs").iterdir()) == [folder]
    after = json.loads((folder / "run.json").read_text())
    assert (before["steps"], after["steps"]) == (3, 6)
    assert (before["last"]["epoch"], after["last"]["epoch"]) == (0, 1)
    assert after["raw"] == before["raw"]
    assert {"loss", "ms_ssim"} <= after["raw"].keys() & after["best"].keys() & after["last"].keys()
    assert after["seconds"] > before["seconds"]
    assert after["peak_mib"]["process_rss"] > 0
    assert {"recipe", "flags", "command", "versions", "data", "number"} <= after.keys()
    assert len(after["data"]) >= 16
    rows = rows_of(folder)
    assert len(rows) > len(half)
    assert rows[: len(half)] == [row | dict.fromkeys(rows[0].keys() - row, "") for row in half]
    assert [float(row["val/loss"]) for row in rows if row["val/loss"]] == pytest.approx(
        [before["last"]["loss"], after["last"]["loss"]]
    )


def test_a_run_that_stopped_before_its_first_checkpoint_is_named_and_no_other_is_resumed(
    fit, tiny_flags, monkeypatch, capsys
):
    assert fit("--trainer.max_epochs=1") == 0
    last = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")
    before = last.read_bytes()

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LastCheckpoint, "on_train_start", killed)
        assert fit("--run_name=Rex") == 130
    for command in ("fit", "validate"):
        capsys.readouterr()
        assert main([command, *tiny_flags, "--ckpt_path=last"]) == 2
        assert "the newest run, lightning_logs/Rex, has no last.ckpt" in capsys.readouterr().err
    assert last.read_bytes() == before
    written = [path.read_bytes() for path in Path("lightning_logs/Rex").iterdir()]
    assert not any(b"Rex" in content for content in written)


@pytest.mark.parametrize(("mode", "epoch"), [("min", 0), ("max", 1)])
def test_the_best_epoch_is_that_of_the_measure_that_best_ckpt_is_kept_by(fit, mode, epoch):
    epochs = ["--trainer.max_epochs=2", "--best_checkpoint.monitor=lr", "--trainer.logger=false"]
    rising = iter([1.0, 2.0])

    class Rising(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                pl_module.log("lr", next(rising))

    flags = [*epochs, f"--best_checkpoint.mode={mode}"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command_trainer, "Previews", Rising)
        assert fit(*flags) == 0
    (folder,) = Path("lightning_logs").iterdir()
    best = json.loads((folder / "run.json").read_text())["best"]
    assert (best["epoch"], best["score"]) == (epoch, epoch + 1)
    assert torch.load(folder / "checkpoints/best.ckpt")["epoch"] == epoch


def test_a_run_that_goes_on_keeps_its_name_and_another_name_is_refused(fit, capsys):
    assert fit("--trainer.max_epochs=1", "--trainer.logger=false") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("lightning_logs").rglob("*")}
    assert fit("--ckpt_path=last", "--run_name=other") == 2
    assert "--run_name other: the run of lightning_logs/fit_64_0/ch" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in Path("lightning_logs").rglob("*")}


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EROFS, "is read-only"), (errno.ENOSPC, "is full"), (errno.EACCES, "Permission denied")],
)
def test_a_folder_that_cannot_be_written_is_one_sentence_before_training_begins(
    fit, capsys, monkeypatch, number, said
):
    def refused(*arguments, **options):
        raise OSError(number, os.strerror(number), "lightning_logs")

    def begun(*arguments):
        raise AssertionError("training began")

    monkeypatch.setattr(LastCheckpoint, "on_train_start", begun)
    monkeypatch.setattr(Path, "mkdir", refused)
    assert fit("--trainer.max_epochs=1") != 0
    error = capsys.readouterr().err
    assert said in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_disk_without_room_for_checkpoints_is_one_sentence_before_training_begins(
    fit, capsys, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    assert fit("--trainer.max_epochs=1") != 0
    error = capsys.readouterr().err.splitlines()[-1]
    assert "lightning_logs has 1 MiB free" in error
    assert not list(Path("lightning_logs").rglob("*.ckpt"))


def test_a_run_whose_data_is_not_there_is_none(fit):
    assert fit("--data.root=nowhere") == 2
    assert not Path("lightning_logs").exists()


def test_a_table_keeps_its_rows_where_a_run_goes_on(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path).log_metrics({"a": 1.0}, step=0)
    with path.open("a") as file:
        file.write("1")  # and killed
    resumed = MetricsFile(path)
    resumed.log_metrics({"b": 2.0}, step=1)
    resumed.log_metrics({"a": 3.0, "b": 4.0}, step=2)
    assert path.read_text().splitlines() == ["step,a,b", "0,1.0,", "1,,2.0", "2,3.0,4.0"]


@pytest.mark.parametrize("half", ["", "3"])
def test_a_table_counts_its_rows_however_often_a_run_goes_on(tmp_path, half):
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    for step in range(3):
        first.log_metrics({"a": 1.0}, step=step)
    known = first.num_rows
    for step in (3, 4):
        with path.open("a") as file:
            file.write(half)  # and killed
        resumed = MetricsFile(path)
        assert resumed.cut(known) == []
        resumed.log_metrics({"a": 1.0}, step=step)
        known = resumed.num_rows
    assert path.read_text().split() == ["step,a", *(f"{step},1.0" for step in range(5))]
    again = MetricsFile(path)
    assert [row["step"] for row in again.cut(3)] == ["3", "4"]
    assert (again.num_rows, path.read_text().split()) == (3, ["step,a", "0,1.0", "1,1.0", "2,1.0"])


def test_a_table_that_gets_a_column_is_whole_whenever_the_run_is_killed(tmp_path, monkeypatch):
    path = tmp_path / "metrics.csv"
    MetricsFile(path).log_metrics({"a": 1.0}, step=0)
    before = path.read_text()
    for method in ("writeheader", "writerows"):
        with monkeypatch.context() as patched:
            patched.setattr(csv.DictWriter, method, Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                MetricsFile(path).log_metrics({"b": 2.0}, step=1)
        assert path.read_text() == before
