"""Which run is mine."""

import os
from pathlib import Path

import pytest
from dying import die_before_change

from radenhance.errors import UsageError
from radenhance.runs import claim, find_checkpoint, label_of, newest_run, read_report, run_of


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
    assert older.exists()
    with pytest.raises(UsageError, match=rf"the newest run, root/.*version_10, has no {name}.ckpt"):
        find_checkpoint(name, Path("root"))


@pytest.mark.parametrize(("name", "other"), [("best", "last"), ("last", "best")])
def test_a_run_without_the_checkpoint_that_is_asked_for_names_the_one_that_it_has(name, other):
    written(Path(f"lightning_logs/version_0/checkpoints/{name}.ckpt"), 1)
    written(Path(f"lightning_logs/version_1/checkpoints/{other}.ckpt"), 1)
    with pytest.raises(UsageError, match=rf"version_1, has a {other}.ckpt.* give {other}, or"):
        find_checkpoint(name, Path())


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


def test_runs_are_numbered_across_recipes_and_after_those_of_earlier_versions():
    written(Path("lightning_logs/version_4/checkpoints/last.ckpt"), 1)
    claimed = [claim(Path(), label, None, {}) for label in ("original_512", "amp_512")]
    assert [path.name for path in claimed] == ["original_512_5", "amp_512_6"]
    assert newest_run(Path()) == claimed[-1]


def test_a_run_of_any_name_is_the_newest_when_it_began_last():
    claim(Path(), "original_512", None, {})
    mine = claim(Path(), "original_512", "a", {})
    assert newest_run(Path()) == mine == Path("lightning_logs/a")
    with pytest.raises(UsageError, match="run_name a: .* is there; give another name"):
        claim(Path(), "original_512", "a", {})


def test_folders_of_loggers_are_no_runs():
    written(Path("lightning_logs/version_7/metrics.csv"), 1)
    assert newest_run(Path()) is None
    assert claim(Path(), "fit_64", None, {}).name == "fit_64_0"


def test_two_runs_that_begin_at_once_have_folders_of_their_own(monkeypatch):
    first = claim(Path(), "fit_64", None, {})
    monkeypatch.setattr("radenhance.runs._numbered", lambda root: {})  # as seen before it was there
    assert claim(Path(), "fit_64", None, {}) != first


def is_killed_claiming(before_change):
    """Claim a folder in a process that is killed before that change of a file, if it gets there."""
    child = os.fork()
    if child == 0:
        try:
            die_before_change(before_change)
            claim(Path(), "fit_64", None, {})
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_run_that_is_killed_while_it_begins_is_there_with_its_number_or_not_at_all():
    earlier = claim(Path(), "fit_64", None, {})
    kills = 0
    while is_killed_claiming(kills):
        kills += 1
        runs = list(Path("lightning_logs").glob("[!.]*"))
        assert all("number" in read_report(run) for run in runs)
        assert newest_run(Path()) == max(runs, key=lambda run: read_report(run)["number"])
    assert kills > 3
    assert newest_run(Path()) != earlier


def test_a_damaged_report_is_said_instead_of_taking_another_run():
    claim(Path(), "fit_64", None, {})
    (claim(Path(), "fit_64", None, {}) / "run.json").write_text("{")
    with pytest.raises(UsageError, match="fit_64_1/run.json is damaged"):
        find_checkpoint("last", Path())


def test_a_checkpoint_is_of_the_run_whose_folder_it_lies_in():
    folder = claim(Path("there"), "fit_64", None, {})
    assert run_of(folder / "checkpoints/last.ckpt") == folder
    assert run_of(Path("lightning_logs/mine/checkpoints/last.ckpt")) is None
    assert run_of(Path("last.ckpt")) is None


def test_a_label_is_fit_for_a_folder():
    assert label_of("original amp/x", 512) == "original-amp-x_512"
    assert label_of("", "native") == "fit_native"
