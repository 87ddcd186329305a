"""The loggers that flags name log the run that is there, under its name."""

import json
import shlex
import struct
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

from radenhance.cli import main
from radenhance.command_line.loggers import _name_of, placed
from radenhance.runs import claim

PAGE = Path(__file__).parents[2] / "docs/how-to/loggers.md"
RUN = Path("lightning_logs/fit_64_0")
NEEDED = {"WandbLogger": ["wandb"], "MLFlowLogger": ["mlflow", "sqlalchemy"]}
WANDB = ["--trainer.logger+=WandbLogger", "--trainer.logger.offline=true"]
MLFLOW = ["--trainer.logger+=MLFlowLogger", "--trainer.logger.save_dir=mlruns"]


@pytest.fixture
def fit(tiny_flags):
    def run(*flags, epochs=1):
        typed = ["--trust-recipe", "--trainer.log_every_n_steps=1", *flags]
        return main(["fit", *tiny_flags, f"--trainer.max_epochs={epochs}", *typed])

    return run


def entry(**arguments):
    return Namespace(class_path="x", init_args=Namespace(**arguments))


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (
            WandbLogger,
            {"name": None, "version": None, "id": None, "save_dir": "."},
            {"name": "fit_64_0", "version": "abc", "save_dir": str(RUN)},
        ),
        (
            WandbLogger,
            {"name": "mine", "version": None, "id": "my", "save_dir": "w"},
            {"name": "mine", "version": "my", "save_dir": "w"},
        ),
        (
            MLFlowLogger,
            {"run_name": None, "run_id": None},
            {"run_name": "fit_64_0", "run_id": "abc"},
        ),
        (
            CSVLogger,
            {"save_dir": "logs", "name": "lightning_logs", "version": None},
            {"save_dir": "logs", "name": "lightning_logs", "version": "fit_64_0"},
        ),
        (
            TensorBoardLogger,
            {"save_dir": "", "name": "lightning_logs", "version": None},
            {"save_dir": "lightning_logs", "name": "", "version": "fit_64_0"},
        ),
    ],
)
def test_what_flags_leave_open_is_the_runs_and_what_they_say_stays(kind, given, expected):
    found = vars(placed(kind, entry(**given), RUN, "fit_64_0", "abc").init_args)
    assert found == given | expected


def test_loggers_of_files_need_no_folder_and_a_table_of_their_own_is_never_removed(fit):
    named = ["--trainer.logger+=TensorBoardLogger", "--trainer.logger+=CSVLogger"]
    other = ["--trainer.logger+=CSVLogger", "--trainer.logger.save_dir=logs"]
    assert fit(*named, *other) == 0
    before = (RUN / "metrics.csv").read_text().splitlines()
    assert fit(*named, *other, "--ckpt_path=last", epochs=2) == 0
    assert [path.name for path in Path("lightning_logs").iterdir()] == [RUN.name]
    assert len(list(RUN.glob("events.*"))) == 2
    assert len((RUN / "metrics.csv").read_text().splitlines()) > len(before)
    tables = sorted(Path("logs/lightning_logs").iterdir())
    assert [path.name for path in tables] == ["fit_64_0", "fit_64_0-2"]
    assert all("val/loss" in (path / "metrics.csv").read_text() for path in tables)


@pytest.mark.parametrize(("flags", "library"), [(WANDB, "wandb"), (MLFLOW, "mlflow")])
def test_a_logger_whose_library_is_missing_is_a_sentence_that_says_what_to_install(
    fit, capsys, flags, library
):
    if find_spec(library):
        pytest.skip(f"{library} is installed")
    assert fit(*flags) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"pip install -U '{library}" in error
    assert "Subtypes" not in error
    assert not Path("lightning_logs").exists()


def records_of(path):
    """The records of a file of W&B: LevelDB's blocks of 32 KiB, behind a header of 7 bytes."""
    Record = import_module("wandb.proto.wandb_internal_pb2").Record
    content, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 2**15 - at % 2**15 < 7:  # the rest of a block
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


def test_wandb_logs_the_run_offline_goes_on_under_its_id_and_names_no_folder(fit, tiny_dataset):
    pytest.importorskip("wandb")
    assert fit(*WANDB) == 0
    known = json.loads((RUN / "run.json").read_text())["loggers"]["WandbLogger"]
    assert fit(*WANDB, "--ckpt_path=last", epochs=2) == 0
    files = sorted(RUN.glob("wandb/offline-run-*/*.wandb"))
    assert [path.name for path in files] == [f"run-{known}.wandb"] * 2
    for epochs, path in enumerate(files, 1):
        records = list(records_of(path))
        (run,) = (one.run for one in records if one.WhichOneof("record_type") == "run")
        assert (run.run_id, run.display_name) == (known, RUN.name)
        logged = {(*item.nested_key, item.key)[0] for one in records for item in one.history.item}
        assert {"val/loss", "validation/best", "memory/peak_mib/process_rss"} <= logged
        updates = [update for one in records for update in (one.run.config, one.config)]
        config = {item.key: item.value_json for one in updates for item in one.update}
        assert config["trainer.max_epochs"] == str(epochs)
        assert config["data.batch_size"] == "2"
    written = [path.read_bytes() for path in RUN.rglob("*") if path.is_file()]
    assert not any(str(tiny_dataset).encode() in content for content in written)


def test_mlflow_goes_on_in_its_run_with_images_and_parameters(fit, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert fit(*MLFLOW) == 0
    assert fit(*MLFLOW, "--ckpt_path=last", epochs=2) == 0
    client = mlflow.tracking.MlflowClient("file:mlruns")
    experiment = client.get_experiment_by_name("lightning_logs")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == RUN.name
    assert len(client.get_metric_history(run.info.run_id, "val/loss")) == 2
    assert run.data.params["data.batch_size"] == "2"
    assert client.list_artifacts(run.info.run_id, "images")
    assert "memory/peak_mib/process_rss" in run.data.metrics


def test_a_name_that_the_user_gave_a_run_stays_here_unless_names_are_wanted():
    folder = claim(Path(), "fit_64", "Rex", {})
    assert _name_of(folder, with_names=False) == "run_0"
    assert _name_of(folder, with_names=True) == "Rex"
    other = claim(Path(), "fit_64", None, {})
    assert _name_of(other, with_names=False) == "fit_64_1"


def test_two_runs_of_wandb_in_one_process_are_two(fit):
    pytest.importorskip("wandb")
    assert fit(*WANDB) == 0
    assert fit(*WANDB) == 0
    ids = {path.name for path in Path("lightning_logs").glob("*/wandb/offline-run-*/*.wandb")}
    assert len(ids) == 2


def commands_of_the_page():
    """The fits of the page on loggers, each with its place."""
    lines = PAGE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("radenhance fit")]


def test_the_commands_of_the_page_on_loggers_run_or_say_what_to_install(tiny_flags, capsys):
    commands = commands_of_the_page()
    assert len(commands) == 4
    for epochs, command in enumerate(commands, 1):
        needed = [name for word in command for name in NEEDED.get(word, ())]
        capsys.readouterr()
        code = main([*command, *tiny_flags, f"--trainer.max_epochs={epochs}"])
        if all(map(find_spec, needed)):
            assert code == 0
        else:
            assert code == 2
            error = capsys.readouterr().err.splitlines()[-1]
            assert "cannot be used: " in error or "--ckpt_path last: no run" in error
