"""Fits by rows are those of one device, and their checkpoints too."""

import pytest
import torch
from by_rows import difference
from processes import LAST, command, run, run_nodes, start_nodes

from radenhance.errors import ParameterError, UsageError
from radenhance.strategies.rows.strategy import num_per_image

EXACT = [
    "--model.optimizer=SGD",
    "--model.optimizer.lr=0.001",
    "--model.lr_scheduler=StepLR",
    "--model.lr_scheduler.step_size=10",
    "--model.output=correction",
    "--data.image_size=96",
    "--data.outside_field=black",
    "--trainer.precision=64-true",
    "--trainer.gradient_clip_val=1",
    "--trainer.accumulate_grad_batches=2",
]
LAST_96 = str(LAST).replace("_64_", "_96_")


def test_fits_go_on_by_rows_and_on_one_device_as_if_they_had_been_there(tmp_path, tiny_flags):
    first = [*tiny_flags, *EXACT, "--trainer.max_epochs=1"]
    rows = ["--trainer.strategy=rows", "--trainer.num_nodes=2"]
    run(command, "fit", *first, folder=tmp_path / "one")
    run_nodes(command, "fit", *first, *rows, folder=tmp_path / "by_rows")
    assert_equal(tmp_path, num_steps=2)
    # both go on in the other's way
    again = [*first[:-1], "--trainer.max_epochs=2"]
    kept = f"--ckpt_path={tmp_path / 'by_rows' / LAST_96}"
    run(command, "fit", *again, kept, folder=tmp_path / "by_rows")
    kept = f"--ckpt_path={tmp_path / 'one' / LAST_96}"
    run_nodes(command, "fit", *again, *rows, kept, folder=tmp_path / "one")
    assert_equal(tmp_path, num_steps=4)


def assert_equal(folder, *, num_steps):
    ours, theirs = (
        torch.load(folder / name / LAST_96, weights_only=True) for name in ("by_rows", "one")
    )
    assert ours["global_step"] == theirs["global_step"] == num_steps
    largest, name = difference(ours["state_dict"], theirs["state_dict"])
    assert largest < 1e-10, name
    scores = [_best(checkpoint) for checkpoint in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-10)


def test_two_images_of_two_processes_each_train_as_two_replicas(tmp_path, tiny_flags):
    flags = [*tiny_flags, *EXACT, "--data.batch_size=1", "--trainer.max_epochs=1"]
    ddp = ["--trainer.strategy=ddp", "--trainer.num_nodes=2"]
    run_nodes(command, "fit", *flags, *ddp, folder=tmp_path / "ddp")
    rows = ["--trainer.strategy=radenhance.strategies.RowsStrategy", "--trainer.num_nodes=4"]
    rows.append("--trainer.strategy.processes_per_image=2")
    run_nodes(command, "fit", *flags, *rows, folder=tmp_path / "by_rows", num=4)
    ours, theirs = (
        torch.load(tmp_path / name / LAST_96, weights_only=True) for name in ("by_rows", "ddp")
    )
    largest, name = difference(ours["state_dict"], theirs["state_dict"])
    assert largest < 1e-9, name
    scores = [_best(checkpoint) for checkpoint in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)


@pytest.mark.parametrize("flag", ["--model.optimizer.lr", "--trainer.gradient_clip_val"])
def test_processes_that_were_started_differently_say_so(tmp_path, tiny_flags, flag):
    flags = [*tiny_flags, "--trainer.strategy=rows", "--trainer.num_nodes=2"]
    different = ([f"{flag}=0.1"], [f"{flag}=0.2"])
    for process in start_nodes(
        command, "fit", *flags, folder=tmp_path / "run", different=different
    ):
        assert process.wait(60).code == UsageError.exit_code
        assert "rank 0 has " in process.output
        assert "0.1" in process.output
        assert "rank 1 has " in process.output


def _best(checkpoint):
    states = checkpoint["callbacks"].values()
    return [float(one["best_model_score"]) for one in states if one.get("best_model_score")]


@pytest.mark.parametrize(("wanted", "num", "expected"), [(None, 4, 4), (2, 4, 2), (3, 3, 3)])
def test_processes_share_an_image_as_asked(wanted, num, expected):
    assert num_per_image(wanted, num) == expected


@pytest.mark.parametrize(("wanted", "num"), [(None, 1), (1, 2), (3, 4)])
def test_processes_that_cannot_be_divided_so_are_refused(wanted, num):
    with pytest.raises(ParameterError, match="processes_per_image"):
        num_per_image(wanted, num)


def test_a_batchnorm_that_lightning_would_replace_is_refused(tmp_path, tiny_flags):
    flags = [*tiny_flags, "--trainer.strategy=rows", "--trainer.num_nodes=2"]
    for process in start_nodes(
        command, "fit", *flags, "--trainer.sync_batchnorm=true", folder=tmp_path / "run"
    ):
        assert process.wait(60).code == 2, process.output
        assert "sync_batchnorm=True is not for the strategy rows" in process.output
