"""`radenhance reproduce` for real, on the smallest images that five scales allow."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from radenhance.cli import main
from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce.running import execute
from radenhance.reproduce.study import FINISHED, Study

FLAGS = ["--sizes=176", "--epochs=3", "--seeds=0", "--encoder=resnet18", "--recipes=original,dist"]


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
    assert "equals a single device to the last digit" in text
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


def test_a_study_that_was_killed_gives_the_same_losses(whole, radiographs, tmp_path):
    killed = subprocess.Popen(
        [sys.executable, "-m", "radenhance", *command(tmp_path, radiographs)],
        start_new_session=True,
    )
    checkpoint = tmp_path / "runs" / "original-176px-seed0"
    while killed.poll() is None and not list(checkpoint.rglob("last.ckpt")):
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (checkpoint / FINISHED).exists()
    assert main(command(tmp_path, radiographs)) == 0
    table = "table_IV_losses.csv"
    assert (tmp_path / table).read_text() == (whole / table).read_text()


def test_two_processes_share_one_gpu_by_gloo(radiographs, tmp_path, monkeypatch):
    study = Study(tmp_path, radiographs, (176,), 1, ("dist",), encoder="resnet18")
    monkeypatch.setattr("radenhance.reproduce.running.num_devices", lambda: 1)
    (run,) = study.runs
    assert execute(run), (run.folder / "log0.txt").read_text()
    (config,) = run.folder.glob("lightning_logs/version_0/config.yaml")
    strategy = yaml.safe_load(config.read_text())["trainer"]["strategy"]
    assert strategy["init_args"]["process_group_backend"] == "gloo"
