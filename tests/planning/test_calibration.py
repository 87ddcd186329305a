import json
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from radenhance.errors import UsageError
from radenhance.planning import calibration
from radenhance.planning.calibration import calibrate, calibrated, device_here, fitted
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.step_plan import StepPlan
from radenhance.planning.traffic import Speed, Work

WORKS = [
    Work(1e9, 0, 4e8, 900, 0),
    Work(2e9, 0, 5e8, 2000, 0),
    Work(1e8, 1e9, 3e8, 950, 0),
    Work(1e8, 2e9, 3e8, 1900, 5e7),
    Work(1e9, 0, 9e8, 3000, 8e7),
    Work(3e9, 0, 9e8, 500, 0),
]
SPEED = Speed(1e-11, 3e-12, 2e-11, 3e-5, 1e-10, "a card")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/radenhance/speed.json"


def test_costs_that_made_the_times_are_found_again():
    speed = fitted(WORKS, [SPEED.seconds(work) for work in WORKS], "a card")
    assert astuple(speed)[:-1] == pytest.approx(astuple(SPEED)[:-1], rel=1e-6)
    assert speed.device == "a card"


def test_no_cost_is_below_zero_whatever_was_measured():
    times = [0.02, 0.01, 0.05, 0.01, 0.09, 0.01]
    assert min(astuple(fitted(WORKS, times, ""))[:-1]) >= 0


@pytest.fixture
def _few_recipes(monkeypatch):
    few = {
        "plain": {},
        "amp": {"trainer.precision": "bf16-mixed"},
    }
    monkeypatch.setattr(calibration, "techniques_of_recipes", lambda: few)
    monkeypatch.setattr(calibration, "SIDES", {"cpu": (64,), "cuda": (64,)})


@pytest.mark.usefixtures("_few_recipes")
def test_a_machine_is_measured_once_and_its_speed_kept_for_its_kind(cache):
    assert calibrated() is None
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({"another card": {}}))
    speed = calibrate()
    assert speed.device == device_here()
    assert calibrated() == speed
    assert json.loads(cache.read_text()).keys() == {"another card", device_here()}
    step = PlannedRun(calibration.FLAGS, speed).with_flags({}).plan((64, 64))
    assert 0.01 < step.seconds < 10


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"HERE": []}', '{"HERE": {"operation": "x"}}'])
def test_a_file_that_does_not_tell_is_as_none(cache, text):
    cache.parent.mkdir(parents=True)
    cache.write_text(text.replace("HERE", device_here()))
    assert calibrated() is None


def test_a_folder_that_cannot_be_written_to_is_said(cache, monkeypatch):
    monkeypatch.setattr(calibration, "techniques_of_recipes", lambda: {"plain": {}})
    monkeypatch.setattr(calibration, "_step_seconds", lambda run, side: 1.0)
    plan = StepPlan({}, {}, 0, 0, 0, 0, work=WORKS[0])
    monkeypatch.setattr(calibration.PlannedRun, "plan", lambda run, size: plan)
    cache.parent.parent.mkdir()
    Path(cache.parent).write_text("a file")
    with pytest.raises(UsageError, match="cannot be kept in .*set XDG_CACHE_HOME to a folder"):
        calibrate()


def test_a_processor_is_told_by_its_threads():
    if not torch.cuda.is_available():
        assert device_here() == f"this processor, {torch.get_num_threads()} threads"
