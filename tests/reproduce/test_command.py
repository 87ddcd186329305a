"""`radenhance reproduce` for real, on the smallest images that five scales allow."""

import os
import signal
import time

import processes
import pytest

from radenhance.cli import main
from radenhance.flags.parser import parse_flags
from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce import command as module
from radenhance.reproduce import running
from radenhance.reproduce.command import parser, study_of
from radenhance.reproduce.logs import read_figures
from radenhance.reproduce.paper import FOR_USE, RECIPES
from radenhance.reproduce.plans import Planned
from radenhance.reproduce.running import execute
from radenhance.reproduce.study import FAILED, FINISHED, Study

FLAGS = ["--sizes=176", "--epochs=3", "--seeds=0", "--encoder=resnet18", "--recipes=original,dist"]
ORIGINAL = "runs/original-176px-seed0"


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("study") / "radiographs"
    counts = {"cat": 3, "dog": 0, "turtle": 0}
    synthesize(root, counts=counts, spacing_mm=1.6, num_processes=1)
    return root


def command(out, radiographs):
    return ["reproduce", str(out), f"--data={radiographs}", *FLAGS]


@pytest.fixture(scope="module")
def whole(radiographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    assert main(command(out, radiographs)) == 0
    return out


def test_the_report_has_tables_figures_and_claims(whole):
    text = (whole / "report.md").read_text()
    assert "## Table I." not in text  # of one recipe alone
    assert "## Table IV. Losses at 176 px after 3 epochs" in text
    assert "equals a single device to the last digit in 1 seed" in text
    assert "networks are shown to beat the raw image (validation loss" in text
    assert "of 1 it is not shown: more seeds or more epochs are needed" in text
    assert "## Figure 6" in text
    page = (whole / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_report_names_no_radiograph(whole, radiographs):
    text = (whole / "report.md").read_text() + (whole / "report.html").read_text()
    for raw in (radiographs / "raw").iterdir():
        assert raw.stem not in text


def test_what_is_done_is_not_run_again(whole, radiographs):
    before = {path: path.stat().st_mtime_ns for path in whole.glob(f"runs/*/{FINISHED}")}
    report = (whole / "report.md").read_text()
    assert main(command(whole, radiographs)) == 0
    assert before == {path: path.stat().st_mtime_ns for path in whole.glob(f"runs/*/{FINISHED}")}
    assert (whole / "report.md").read_text() == report


def with_its_runs(*arguments):
    """The command line, to be killed along with what it starts."""
    os.setsid()
    return processes.command(*arguments)


def test_a_study_that_was_killed_gives_the_same_losses(whole, radiographs, tmp_path):
    out = tmp_path / "study"
    words = [*command(out, radiographs), "--recipes=original"]
    killed = processes.start(with_its_runs, *words, folder=out, name="killed")
    run = out / ORIGINAL
    while killed.code is None and not list(run.rglob("last.ckpt")):
        time.sleep(0.02)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.wait(10)
    assert not (run / FINISHED).exists()
    assert main(words) == 0
    assert "Restor" in (run / "log0.txt").read_text()
    resumed, expected = read_figures(run), read_figures(whole / ORIGINAL)
    assert (resumed.train_loss, resumed.val_loss) == (expected.train_loss, expected.val_loss)
    assert resumed.measures == expected.measures


def test_two_processes_share_one_gpu_by_gloo(tmp_path, monkeypatch):
    """As flags that `radenhance fit` understands."""
    started = []
    monkeypatch.setattr(running, "launch", lambda command, *_, **__: started.append(command))
    monkeypatch.setattr(running, "num_devices", lambda: 1)
    (run,) = Study(tmp_path, tmp_path, (176,), 1, ("dist",), encoder="resnet18").runs
    assert execute(run)
    (_, _, _, fit, *flags) = started[0]
    strategy = parse_flags(fit, flags).settings.trainer.strategy
    assert strategy.class_path.endswith("EncoderDecoderStrategy")
    assert strategy.init_args.process_group_backend == "gloo"


def study(*words):
    return study_of(parser().parse_args(["OUT", *words]))


def test_without_flags_it_is_the_papers_study():
    asked = study()
    assert asked.sizes == asked.memory_sizes == (512, 1024, 2048)
    assert (asked.epochs, asked.seeds) == (50, (0, 1, 2))
    assert asked.recipes == (*RECIPES, *FOR_USE)
    assert asked.encoder is None
    assert (asked.batch_size, asked.learning_rate) == (1, None)


def test_quick_is_small_but_plans_the_papers_sizes():
    asked = study("--quick")
    assert (asked.sizes, asked.memory_sizes) == ((192,), (512, 1024, 2048))
    assert (asked.epochs, asked.seeds, asked.encoder) == (6, (0, 1), "resnet18")
    assert (asked.batch_size, asked.learning_rate) == (2, None)


def test_flags_win_over_quick():
    asked = study("--quick", "--seeds=0,1,2,3", "--sizes=256", "--epochs=9", "--encoder=resnet34")
    assert (asked.seeds, asked.sizes, asked.epochs) == ((0, 1, 2, 3), (256,), 9)
    assert asked.encoder == "resnet34"


def test_sizes_that_are_no_numbers_are_refused_in_a_sentence(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "OUT", "--sizes=512,large"])
    assert "'512,large' is not a list of numbers such as 512,1024" in capsys.readouterr().err


@pytest.fixture
def dry(scene, monkeypatch):
    """The command with runs that only note that they were asked for; returns those titles."""

    def run(*words, needed_bytes=1, fails=()):
        ran = []

        def run_all(runs, say):
            for one in runs:
                ran.append(one.title)
                if one.recipe in fails:
                    one.folder.mkdir(parents=True, exist_ok=True)
                    (one.folder / FAILED).write_text("radenhance: the loss became nan")
                else:
                    scene.log(one)
                    (one.folder / FINISHED).write_text("{}")

        plan = Planned(10, 10, needed_bytes)
        for place in ("command", "results"):
            monkeypatch.setattr(f"radenhance.reproduce.{place}.planned", lambda *_: plan)
        monkeypatch.setattr(module, "run_all", run_all)
        monkeypatch.setattr(module, "write_report", lambda results: results.study.out)
        code = main(["reproduce", "out", "--data=data", "--seeds=0", *words])
        return code, ran

    return run


def test_sizes_run_from_the_first_to_the_last(dry):
    code, ran = dry("--recipes=original,amp", "--sizes=512,1024")
    assert code == 0
    assert ran == [f"{recipe}, {size} px, seed 0" for size in (512, 1024) for recipe in
                   ("original", "amp")]  # fmt: skip


def test_what_does_not_fit_is_planned_only_and_said_so(dry, capsys):
    _, ran = dry("--recipes=original", "--sizes=512", needed_bytes=2**60)
    assert ran == []
    assert "original, 512 px, seed 0: planned only, as it needs" in capsys.readouterr().out


def test_a_size_that_would_take_too_long_is_planned_only(dry, capsys):
    """An epoch takes 10 s at 512 px, so 40 s at 1024 px: 36 epochs are 0.4 hours."""
    flags = ("--recipes=original", "--sizes=512,1024", "--epochs=36")
    _, ran = dry(*flags, "--max-hours=0.3")
    assert ran == ["original, 512 px, seed 0"]
    assert "1024 px, seed 0: planned only, as it would take about 0.4 hours" in (
        capsys.readouterr().out
    )


def test_a_size_that_ends_in_time_is_run(dry):
    flags = ("--recipes=original", "--sizes=512,1024", "--epochs=36")
    _, ran = dry(*flags, "--max-hours=0.5")
    assert ran == ["original, 512 px, seed 0", "original, 1024 px, seed 0"]


def test_a_failed_run_fails_the_command_after_the_report(dry, capsys):
    code, ran = dry("--recipes=original,amp", "--sizes=512", fails=("amp",))
    assert code == 2
    assert len(ran) == 2
    printed = capsys.readouterr()
    assert "Report: " in printed.out
    assert "amp at 512 px failed, and the report says so: radenhance: the loss" in printed.err
