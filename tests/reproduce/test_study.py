"""A study's runs: which there are, in which order, with which flags, and how one goes on."""

import json
import os
from dataclasses import replace

import pytest

from radenhance.errors import UsageError
from radenhance.reproduce.study import FINISHED, SETTINGS, Study


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path, tmp_path / "data", (512, 1024), 3, ("original", "dist"), (0, 1))


def flags_of(run, accelerator="cpu"):
    words = run.flags(accelerator)
    return dict(zip(words[::2], words[1::2], strict=True))


def test_the_first_table_is_whole_before_other_sizes_and_seeds_begin(study):
    keys = [(run.size, run.seed, run.recipe) for run in study.runs]
    assert keys[:4] == [
        (512, 0, "original"),
        (512, 0, "dist"),
        (512, 1, "original"),
        (512, 1, "dist"),
    ]
    assert len(keys) == len(set(keys)) == 8


def test_every_run_has_a_folder_of_its_own(study):
    assert len({run.folder for run in study.runs}) == len(study.runs)


def test_flags_are_those_of_the_study(study):
    run = study.runs[2]
    flags = flags_of(run)
    assert flags["--config"].endswith("/original.yaml")
    assert flags["--seed_everything"] == "1"
    assert flags["--data.image_size"] == "512"
    assert flags["--trainer.max_epochs"] == "3"
    assert flags["--data.root"] == str(study.data.resolve())
    assert flags["--trainer.default_root_dir"] == str(run.folder.resolve())
    assert "--model.encoder" not in flags  # the recipe's own


def test_one_device_has_the_batches_that_two_devices_have_as_micro_batches(study):
    assert {flags_of(run)["--data.batch_size"] for run in study.runs} == {"1"}


def test_two_devices_have_whole_batches_as_micro_batches(study):
    original, dist = replace(study, sizes=(512,), seeds=(0,), batch_size=4).runs
    assert flags_of(original)["--data.batch_size"] == flags_of(dist)["--data.batch_size"] == "4"
    assert flags_of(dist)["--trainer.strategy.micro_batch_size"] == "4"
    assert "--trainer.strategy.micro_batch_size" not in flags_of(original)


def test_another_learning_rate_is_that_of_all_runs(study):
    runs = replace(study, learning_rate=0.002).runs
    assert {flags_of(run)["--model.optimizer.lr"] for run in runs} == {"0.002"}
    assert "--model.optimizer" not in flags_of(study.runs[0])


def test_another_encoder_is_that_of_all_runs(study):
    runs = replace(study, encoder="resnet18").runs
    assert {flags_of(run)["--model.encoder"] for run in runs} == {"resnet18"}


def test_a_cpu_loads_in_the_process_itself_and_a_gpu_in_workers(study):
    assert flags_of(study.runs[0])["--data.num_workers"] == "0"
    assert "--data.num_workers" not in flags_of(study.runs[0], "gpu")


def test_a_run_that_was_stopped_goes_on_from_its_newest_checkpoint(study):
    run = study.runs[0]
    assert run.checkpoint is None
    assert "--ckpt_path" not in run.flags("cpu")
    for version in (0, 1):  # the clock was set back in between
        path = run.folder / f"lightning_logs/version_{version}/checkpoints/last.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, ns=(0, 10**9 * (2 - version)))
    assert run.checkpoint == path
    assert run.flags("cpu")[-2:] == ["--ckpt_path", "last"]


def test_recipes_of_two_devices_are_two_processes(study):
    assert {run.recipe: run.num_processes for run in study.runs} == {"original": 1, "dist": 2}


def test_a_run_is_finished_when_it_says_so(study):
    run = study.runs[0]
    run.folder.mkdir(parents=True)
    assert not run.is_finished
    (run.folder / FINISHED).touch()
    assert run.is_finished


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 4}, "holds runs with epochs 3, not 4"),
        ({"encoder": "resnet18"}, "holds runs with encoder the recipes' own, not resnet18"),
        ({"batch_size": 4}, "holds runs with batch_size 1, not 4"),
    ],
)
def test_a_folder_of_other_settings_is_refused(study, change, said):
    study.claim()
    with pytest.raises(UsageError, match=said):
        replace(study, **change).claim()


def test_its_notes_do_not_name_the_folder_of_the_radiographs(study):
    study.claim()
    noted = json.loads((study.out / SETTINGS).read_text())
    assert noted["data"]
    assert study.data.name not in noted["data"]


def test_a_folder_whose_notes_are_of_an_earlier_version_goes_on(study, tmp_path):
    study.claim()
    path = study.out / SETTINGS
    noted = json.loads(path.read_text())
    before = {name: noted[name] for name in ("epochs", "encoder")}
    path.write_text(json.dumps(before | {"data": str(study.data.resolve())}))
    study.claim()
    with pytest.raises(UsageError, match="other radiographs"):
        replace(study, data=tmp_path / "mine").claim()


def test_a_folder_with_other_radiographs_is_refused(study, tmp_path):
    study.claim()
    with pytest.raises(UsageError, match="holds runs with other radiographs than those of .*mine"):
        replace(study, data=tmp_path / "mine").claim()


def test_seeds_recipes_and_sizes_can_be_added_to_a_folder(study):
    study.claim()
    study.claim()
    replace(study, seeds=(0, 1, 2), sizes=(512,), recipes=("amp",)).claim()


def test_an_unknown_recipe_is_refused_with_those_that_exist(tmp_path):
    with pytest.raises(UsageError, match=r"--recipes ampp is no recipe; choose among amp, .*dist"):
        Study(tmp_path, tmp_path, recipes=("original", "ampp"))
