"""Fits by rows are those of one device, and their checkpoints too."""

import pytest
import torch
from by_rows import difference
from processes import LAST, command, run, run_nodes

from radenhance.errors import ParameterError
from radenhance.strategies.rows.strategy import num_per_image

EXACT = [
    "--model.encoder=resnet18",
    "--model.optimizer.lr=0.0001",
    "--model.output=correction",
    "--data.image_size=96",
    "--data.outside_field=black",
    "--trainer.precision=64-true",
    "--trainer.gradient_clip_val=1",
    "--trainer.accumulate_grad_batches=2",
]
LAST_96 = str(LAST).replace("_64_", "_96_")


def test_a_fit_by_rows_goes_on_on_one_device_as_if_it_had_been_there(tmp_path, tiny_flags):
    flags = [*tiny_flags, *EXACT]
    rows = ["--trainer.strategy=rows", "--trainer.num_nodes=2"]
    run(command, "fit", *flags, "--trainer.max_epochs=2", folder=tmp_path / "one")
    first = [*flags, *rows, "--trainer.max_epochs=1"]
    run_nodes(command, "fit", *first, folder=tmp_path / "by_rows")
    resumed = ["--trainer.max_epochs=2", f"--ckpt_path={tmp_path / 'by_rows' / LAST_96}"]
    run(command, "fit", *flags, *resumed, folder=tmp_path / "resumed")
    ours, theirs = (
        torch.load(tmp_path / name / LAST_96, weights_only=True) for name in ("resumed", "one")
    )
    assert ours["global_step"] == theirs["global_step"] == 4
    largest, name = difference(ours["state_dict"], theirs["state_dict"])
    assert largest < 1e-9, name
    scores = [_best(checkpoint) for checkpoint in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)


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
