"""Which run is mine."""

import os
from pathlib import Path

import pytest

from radenhance.errors import UsageError
from radenhance.runs import find_checkpoint, version_of


def written(path, at):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))
    return path


@pytest.mark.parametrize("name", ["last", "best"])
def test_the_newest_run_has_the_highest_number_whatever_the_clock_said(name):
    newer = written(Path(f"root/lightning_logs/version_10/checkpoints/{name}.ckpt"), 1000)
    older = written(Path(f"root/lightning_logs/version_9/checkpoints/{name}.ckpt"), 2000)
    written(Path(f"root/lightning_logs/version_old/checkpoints/{name}.ckpt"), 3000)
    assert find_checkpoint(name, Path("root")) == newer
    newer.unlink()
    assert find_checkpoint(name, Path("root")) == older


def test_a_path_is_a_path():
    written(Path("x.ckpt"), 1)
    assert find_checkpoint("x.ckpt", Path()) == Path("x.ckpt")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x.ckpt", "no such file; give a checkpoint, last or best"), ("best", "no run under")],
)
def test_what_is_not_there_is_said(name, expected):
    with pytest.raises(UsageError, match=f"^Trainer.fit.ckpt_path {name}: {expected}"):
        find_checkpoint(name, Path())


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("lightning_logs/version_12/checkpoints/last.ckpt", 12),
        ("lightning_logs/mine/checkpoints/last.ckpt", None),
        ("last.ckpt", None),
    ],
)
def test_a_runs_number_is_in_the_name_of_its_folder(path, number):
    assert version_of(Path(path)) == number
