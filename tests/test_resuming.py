"""What a run takes from a checkpoint beside weights is of a form that the run itself has."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import MultiStepLR

from radenhance.checkpoint import WholeFileCheckpointIO
from radenhance.cli import main
from radenhance.errors import UsageError
from radenhance.resuming import (
    CALLBACKS,
    keep_own_files,
    leave_out_folder,
    refuse_other_form,
    refuse_other_progress,
)

LAST = "lightning_logs/fit_64_0/checkpoints/last.ckpt"


def kept(state, folder="run", **settings):
    callback = ModelCheckpoint(dirpath=folder, monitor="val/loss", **settings)
    content = {"callbacks": {callback.state_key: state, "Other": {"a": 1}}}
    keep_own_files(content, [callback])
    assert content["callbacks"]["Other"] == {"a": 1}
    return content["callbacks"][callback.state_key]


def best(*paths):
    scores = {path: torch.tensor(float(i)) for i, path in enumerate(paths)}
    return {"best_k_models": scores, "kth_value": torch.tensor(9.0), "best_model_score": None}


def test_scores_of_the_files_in_the_own_folder_stay():
    own = [str(Path("run").absolute() / name) for name in ("a.ckpt", "b.ckpt")]
    state = kept(best(*own), save_top_k=2)
    assert state["best_k_models"] == {own[0]: 0, own[1]: 1}
    assert (state["best_model_path"], state["best_model_score"]) == (own[0], 0)
    assert (state["kth_best_model_path"], state["kth_value"]) == (own[1], 1)
    state = kept(best(*own), mode="max", save_top_k=2)
    assert (state["best_model_path"], state["kth_best_model_path"]) == (own[1], own[0])


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("save_top_k", [0, 1, 2, 5, -1])
def test_a_run_that_keeps_fewer_or_more_files_than_before_does_so(mode, save_top_k):
    own = [str(Path("run").absolute() / f"{name}.ckpt") for name in "abc"]
    state = kept(best(*own), mode=mode, save_top_k=save_top_k)
    ranked = own if mode == "min" else own[::-1]
    left = ranked if save_top_k == -1 else ranked[:save_top_k]
    assert {*state["best_k_models"]} == {*left}
    assert state["best_model_path"] == (left[0] if left else "")
    assert state["kth_best_model_path"] == (left[-1] if left else "")


@pytest.mark.parametrize(
    "path",
    [
        "run/../precious/a.ckpt",
        "run/../precious",
        "run/inner/a.ckpt",
        "run/folder.ckpt",
        "run/a.txt",
        "run/",
        "run",
        "/etc/a.ckpt",
        "a.ckpt",
        "file:///run/a.ckpt",
        "memory://run/a.ckpt",
        "x" * 5000 + ".ckpt",
        "",
        7,
        None,
    ],
)
def test_files_elsewhere_are_not_the_runs(path):
    Path("run/folder.ckpt").mkdir(parents=True)
    names = ("kth_best_model_path", "best_model_path", "last_model_path")
    state = kept(best(path) | dict.fromkeys(names, path))
    assert state["best_k_models"] == {}
    assert [state[name] for name in names] == ["", "", ""]
    assert state["dirpath"] == str(Path("run").absolute())


@pytest.mark.parametrize("state", [None, 3, [], {}, {"best_k_models": 3}, best("run/a.ckpt")])
def test_a_state_of_any_form_leaves_one_that_lightning_can_load(state):
    callback = ModelCheckpoint(dirpath="run", monitor="val/loss")
    content = {"callbacks": {callback.state_key: state}}
    keep_own_files(content, [callback])
    for one in content["callbacks"].values():
        callback.load_state_dict(one)


def test_a_folder_behind_dots_outlives_a_resumed_fit(tiny_flags):
    flags = [*tiny_flags, "--model.lr_scheduler=ConstantLR"]
    assert main(["fit", *flags, "--trainer.max_epochs=1"]) == 0
    Path("precious").mkdir()
    Path("precious/file").write_text("kept")
    content = torch.load(LAST)
    (key,) = (key for key in content["callbacks"] if key.startswith("ModelCheckpoint"))
    state = content["callbacks"][key]
    victim = f"{state['dirpath']}/../../../precious"
    worst = torch.tensor(1e9)
    state |= {"best_k_models": {victim: worst}, "kth_value": worst}
    state |= dict.fromkeys(("kth_best_model_path", "best_model_path", "last_model_path"), victim)
    torch.save(content, LAST)
    assert main(["fit", *flags, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
    assert Path("precious/file").read_text() == "kept"
    assert Path(LAST).with_name("best.ckpt").is_file()


def test_folders_are_not_removed_in_place_of_files():
    Path("folder").mkdir()
    Path("file.ckpt").touch()
    for path in ("folder", "file.ckpt", "gone.ckpt"):
        WholeFileCheckpointIO().remove_checkpoint(path)
    assert Path("folder").is_dir()
    assert not Path("file.ckpt").exists()


def parts(kind, **options):
    """An optimizer after a step, its schedule, and what a checkpoint holds of them."""
    weights = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
    optimizer = kind(weights, **options)
    schedule = MultiStepLR(optimizer, [3, 5])
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    schedule.step()
    content = {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
    }
    return content, kind(weights, **options), schedule


TORCHS = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adadelta", "Adagrad", "RMSprop", "Rprop")


@pytest.mark.parametrize("name", [*TORCHS, "ASGD", "SGD", "Adafactor"])
def test_the_state_of_every_optimizer_of_pytorch_fits_itself(name):
    content, fresh, schedule = parts(getattr(torch.optim, name), lr=0.1)
    refuse_other_form(content, fresh, schedule)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("optimizer_states",), None),
        (("optimizer_states",), []),
        (("optimizer_states", 0, "param_groups"), []),
        (("optimizer_states", 0, "param_groups", 0, "lr"), "fast"),
        (("optimizer_states", 0, "param_groups", 0, "betas"), [0.9]),
        (("optimizer_states", 0, "param_groups", 0, "params"), [1, 0]),
        (("optimizer_states", 0, "state", 0, "exp_avg"), torch.zeros(4)),
        (("optimizer_states", 0, "state", 0, "exp_avg"), 0.5),
        (("optimizer_states", 0, "state", 7), {}),
        (("optimizer_states", 0, "param_groups", 0, "betas"), [True, 0.999]),
        (("optimizer_states", 0, "param_groups", 0, "lr"), float("nan")),
        (("optimizer_states", 0, "state", 0, "step"), -1),
        (("optimizer_states", 0, "state", 0, "exp_avg"), None),
        (("lr_schedulers", 0, "step"), 3),
        (("lr_schedulers", 0, "last_epoch"), "x"),
        (("lr_schedulers", 0, "base_lrs"), {}),
    ],
)
def test_a_state_of_another_form_is_refused(way, value):
    content, fresh, schedule = parts(torch.optim.Adam, lr=0.1)
    *rest, last = way
    holder = content
    for name in rest:
        holder = holder[name]
    holder[last] = value
    with pytest.raises(UsageError, match="state of Adam or of its schedule is damaged, or of anot"):
        refuse_other_form(content, fresh, schedule)


RUN = Path("of Zorbax/lightning_logs/fit_64_0/checkpoints")
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
    (tmp_path / "b.ckpt").touch()
    content = saved(callback_of("/exports/Zorbax"))
    resumed = callback_of(tmp_path)
    keep_own_files(content, [EarlyStopping("val/loss"), resumed])
    scores = content[CALLBACKS][resumed.state_key]["best_k_models"]
    assert scores == {f"{tmp_path}/a.ckpt": 1.0, f"{tmp_path}/b.ckpt": 2.0}
    assert content[CALLBACKS][resumed.state_key]["best_model_path"] == f"{tmp_path}/a.ckpt"
    assert content[CALLBACKS]["Other"] == {"wait": 3}


def test_a_run_in_another_folder_begins_its_own_list_of_best_files(tmp_path):
    content = saved(callback_of("/exports/Zorbax"))
    resumed = callback_of(tmp_path)
    keep_own_files(content, [resumed])
    state = content[CALLBACKS][resumed.state_key]
    assert state["best_k_models"] == {}
    assert state["best_model_path"] == ""


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


def test_progress_of_the_loops_of_lightning_is_taken():
    loop = Trainer(logger=False, accelerator="cpu").fit_loop
    refuse_other_progress({"loops": {"fit_loop": loop.state_dict() | {"more": "x"}}}, loop)


@pytest.mark.parametrize("count", ["x", None, -1, 0.5, [], torch.zeros(1)])
def test_counts_that_are_none_are_refused(count):
    loop = Trainer(logger=False, accelerator="cpu").fit_loop
    state = loop.state_dict()
    state["epoch_loop.batch_progress"]["total"]["ready"] = count
    for loops in ({"fit_loop": state}, {"fit_loop": count}, count, {}):
        with pytest.raises(UsageError, match="does not say how far its training was"):
            refuse_other_progress({"loops": loops}, loop)
