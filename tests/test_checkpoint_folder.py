"""A checkpoint names the files beside it, and finds them again where it is resumed."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from radenhance.checkpoint_folder import CALLBACKS, leave_out_folder, put_in_folder
from radenhance.cli import main

RUN = Path("of Zorbax/lightning_logs/version_0/checkpoints")
FOLDERS = ("/exports/Zorbax/run", "of Zorbax/run", "../Zorbax")


def callback_of(folder):
    callback = ModelCheckpoint(monitor="val/loss", save_top_k=2)
    callback.dirpath = str(folder)
    names = {"a.ckpt": 1.0, "b.ckpt": 2.0}
    callback.best_k_models = {f"{folder}/{name}": score for name, score in names.items()}
    callback.best_model_path = f"{folder}/a.ckpt"
    callback.kth_best_model_path = f"{folder}/b.ckpt"
    return callback


def saved(callback):
    content = {CALLBACKS: {callback.state_key: callback.state_dict(), "Other": {"wait": 3}}}
    leave_out_folder(content)
    return content


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_is_saved_and_what_the_callback_keeps_is_not_touched(folder):
    callback = callback_of(folder)
    before = str(callback.state_dict())
    state = saved(callback)[CALLBACKS][callback.state_key]
    assert "Zorbax" in before
    assert "Zorbax" not in str(state)
    assert state["best_k_models"] == {"a.ckpt": 1.0, "b.ckpt": 2.0}
    assert state["last_model_path"] == ""
    assert str(callback.state_dict()) == before


def test_files_are_found_again_in_the_folder_in_which_the_run_goes_on(tmp_path):
    (tmp_path / "a.ckpt").touch()
    content = saved(callback_of("/exports/Zorbax"))
    resumed = callback_of(tmp_path)
    put_in_folder(content, [EarlyStopping("val/loss"), resumed])
    assert content[CALLBACKS][resumed.state_key] == resumed.state_dict()
    assert content[CALLBACKS]["Other"] == {"wait": 3}


def test_a_run_in_another_folder_begins_its_own_list_of_best_files(tmp_path):
    content = saved(callback_of("/exports/Zorbax"))
    put_in_folder(content, [callback_of(tmp_path)])
    assert content[CALLBACKS] == {"Other": {"wait": 3}}


def test_a_checkpoint_of_an_earlier_version_is_left_as_it_is(tmp_path):
    callback = callback_of(tmp_path)
    content = {CALLBACKS: {callback.state_key: callback.state_dict()}}
    put_in_folder(content, [callback])
    assert content == {CALLBACKS: {callback.state_key: callback.state_dict()}}
    put_in_folder(nothing := {}, [callback])
    assert nothing == {}


def test_a_run_that_goes_on_keeps_its_best_score_and_its_best_file(tiny_flags):
    flags = [*tiny_flags, "--trainer.default_root_dir=of Zorbax"]
    assert main(["fit", *flags, "--trainer.max_epochs=1"]) == 0
    (RUN / "best.ckpt").rename(RUN / "kept")
    (RUN / "best.ckpt").write_bytes(best := b"nothing is better")
    last = torch.load(RUN / "last.ckpt", weights_only=True)
    (key,) = (key for key in last[CALLBACKS] if key.startswith("ModelCheckpoint"))
    state = last[CALLBACKS][key]
    assert list(state["best_k_models"]) == [state["best_model_path"]] == ["best.ckpt"]
    score = torch.tensor(-1.0 if "min" in key else 2.0)
    last[CALLBACKS][key] = state | {
        "best_k_models": {"best.ckpt": score},
        "best_model_score": score,
        "kth_value": score,
    }
    torch.save(last, RUN / "last.ckpt")
    assert main(["fit", *flags, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
    assert (RUN / "best.ckpt").read_bytes() == best
    assert b"Zorbax" not in (RUN / "last.ckpt").read_bytes()
