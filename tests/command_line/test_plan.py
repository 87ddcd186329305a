"""`radenhance plan` as a user types it."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from radenhance.cli import main
from radenhance.flags.recipes import find_recipes
from radenhance.planning.fit_command import fit_command
from radenhance.planning.planned_run import PlanError, PlannedRun
from radenhance.planning.report import Answer
from radenhance.planning.search import (
    Candidate,
    candidates,
    changes_function,
    largest_side,
    techniques_of_recipes,
)
from radenhance.planning.step_plan import StepPlan
from radenhance.planning.traffic import Speed, Work
from radenhance.units import GIB, MIB

TINY = ["--model.encoder=tu-mobilenetv3_small_050", "--model.num_scales=auto"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A machine that nobody has measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/radenhance"


def planned(capsys, *arguments):
    assert main(["plan", *TINY, "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_plan_needs_no_data_and_no_gpu(capsys):
    assert main(["plan", *TINY, "--sizes=64", "--gpu-memory=8GiB"]) == 0
    printed = capsys.readouterr().out
    assert "batch 1, 32-true, 64 x 64 px" in printed
    assert "fits in 8,192 MiB" in printed


def test_more_pixels_and_larger_batches_need_more(capsys):
    small, large = planned(capsys, "--sizes=64,128")
    (batch,) = planned(capsys, "--sizes=64", "--data.batch_size=4")
    for more in (large, batch):
        assert more["kinds"]["weights"] == small["kinds"]["weights"]
        assert more["needed_bytes"] > small["needed_bytes"]


def test_the_size_is_that_of_the_run_when_none_is_said(capsys):
    (cut,) = planned(capsys, "--data.image_size=96", "--data.crop_size=64")
    assert cut["size"] == [64, 64]


def test_native_images_are_planned_at_the_largest_of_the_dataset(capsys, tmp_path):
    header = "case_id,patient_id,raw_path,target_path,split,rows,cols"
    rows = ["a,p,raw/a.npy,target/a.npy,train,70,200", "b,q,raw/b.npy,target/b.npy,val,100,90"]
    for name in ("raw/a", "raw/b", "target/a", "target/b"):
        (tmp_path / f"{name}.npy").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.npy").touch()
    (tmp_path / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")
    (plan,) = planned(capsys, "--data.image_size=native", f"--data.root={tmp_path}")
    assert plan["size"] == [70, 200]


@pytest.mark.parametrize("suffix", ["npy", "png"])
def test_native_images_of_a_folder_are_planned_at_the_largest_of_its_files(suffix):
    for folder in ("raw", "target"):
        Path(folder).mkdir()
        for name, shape in (("a", (70, 200)), ("b", (100, 90))):
            if suffix == "npy":
                np.save(f"{folder}/{name}.npy", np.zeros(shape, np.uint16))
            else:
                Image.fromarray(np.zeros(shape, np.uint16)).save(f"{folder}/{name}.png")
    run = PlannedRun([*TINY, "--data.image_size=native", "--data.root=."])
    assert run.image_size == (70, 200)


def test_rectangles_are_planned_beside_squares(capsys):
    plans = planned(capsys, "--sizes=64,64x96,96X64")
    assert [plan["size"] for plan in plans] == [[64, 64], [64, 96], [96, 64]]
    assert plans[1]["kinds"]["activations"] == plans[2]["kinds"]["activations"]


def command_of(arguments, plan, **more):
    run = PlannedRun([*TINY, *arguments])
    return fit_command(run, Answer((64, 64), plan, **more))


def test_the_command_to_copy_is_of_what_was_planned(capsys):
    (answer,) = planned(capsys, "--sizes=64", "--gpu-memory=8gb", "--config=amp.yaml")
    command = f"radenhance fit {' '.join(TINY)} --config=amp.yaml --data.image_size=64"
    assert answer["command"] == command
    again = PlannedRun(find_recipes(shlex.split(command)[2:]))
    assert again.image_size == (64, 64)
    assert again.settings.trainer.precision == "16-mixed"


def test_the_command_to_copy_has_the_techniques_that_fit():
    plans = {size: StepPlan({"forward": size}, {}, 0, 0, 0, 0) for size in (10**9, 2 * 10**9)}
    flags = {"model.memory.checkpointing": "unit", "trainer.precision": "32-true"}
    small, large = plans[10**9], plans[2 * 10**9]
    found = [Candidate("a.yaml", {}, large, False), Candidate("b.yaml", flags, small, False)]
    limit = small.needed_bytes
    assert command_of(["--data.image_size=64"], large, limit_bytes=limit) is None
    command = command_of(["--data.image_size=64"], large, limit_bytes=limit, found=found)
    words = " ".join([*TINY, "--data.image_size=64", "--model.memory.checkpointing=unit"])
    assert command == f"radenhance fit {words}"


@pytest.mark.parametrize(
    ("arguments", "size", "expected"),
    [
        ([], (64, 96), ["--data.image_size=native"]),
        (["--data.crop_size=32"], (64, 96), ["--data.image_size=native", "--data.crop_size=null"]),
        (["--data.crop_size=32"], (64, 64), ["--data.crop_size=64"]),
        (["--data.image_size=native", "--data.root=none"], (64, 64), ["--data.crop_size=64"]),
    ],
)
def test_the_command_to_copy_trains_at_the_planned_size(arguments, size, expected):
    run = PlannedRun([*TINY, *arguments])
    command = fit_command(run, Answer(size, StepPlan({"forward": 1}, {}, 0, 0, 0, 0), None))
    assert command.split()[2 + len([*TINY, *arguments]) :] == expected
    assert size[0] != size[1] or PlannedRun(command.split()[2:]).image_size == size


def test_a_measured_machine_tells_time_in_seconds(capsys, monkeypatch, tmp_path):
    plan = StepPlan({"forward": 1}, {}, 0, 0, 0, 0, work=Work(2e9))
    monkeypatch.setattr(PlannedRun, "plan", lambda run, size: priced(run, plan))
    monkeypatch.setattr("radenhance.planning.report._breakdown", lambda stages: [])
    header = "case_id,patient_id,raw_path,target_path,split"
    rows = [f"c{i},p{i},a.npy,b.npy,{'val' if i == 5 else 'train'}" for i in range(6)]
    (tmp_path / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")
    speed = Speed(1e-9, 0, 0, 0, 0, "a card")
    monkeypatch.setattr("radenhance.command_line.plan.calibrate", lambda shown: speed)
    flags = [*TINY, f"--data.root={tmp_path}", "--sizes=64", "--data.batch_size=2"]
    for name in ("a.npy", "b.npy"):
        (tmp_path / name).touch()
    assert main(["plan", *flags, "--calibrate"]) == 0
    said = "a step takes about 2 s, an epoch of 3 steps 0 min 6 s on a card, by --calibrate"
    assert said in capsys.readouterr().out
    monkeypatch.setattr("radenhance.command_line.plan.calibrated", lambda: None)
    assert main(["plan", *flags]) == 0
    assert "a step takes" not in capsys.readouterr().out


def priced(run, plan):
    return replace(plan, seconds=run.speed.seconds(plan.work))


def test_a_search_shows_how_far_it_is(monkeypatch):
    few = {"a.yaml": {"model.memory.checkpointing": "unit"}, "b.yaml": {}}
    monkeypatch.setattr("radenhance.planning.search.techniques_of_recipes", lambda: few)
    shown = []
    candidates(PlannedRun(TINY), (64, 64), lambda names: shown.extend(names) or names)
    assert shown == ["a.yaml", "b.yaml"]


def test_search_lists_what_fits_the_quickest_first(capsys, monkeypatch):
    recipes = techniques_of_recipes()
    few = {name: recipes[name] for name in ("chkp.yaml", "original.yaml", "quant.yaml")}
    monkeypatch.setattr("radenhance.planning.search.techniques_of_recipes", lambda: few)
    limit = "1GiB"
    (answer,) = planned(capsys, "--sizes=512", "--search", f"--gpu-memory={limit}")
    found = {one["recipe"]: one for one in answer["search"]}
    assert found["chkp.yaml"]["needed_bytes"] < found["original.yaml"]["needed_bytes"]
    assert found["chkp.yaml"]["seconds"] > found["original.yaml"]["seconds"]
    assert list(found) == ["original.yaml", "chkp.yaml"]  # quant.yaml refuses this encoder
    assert all(one["fits"] == (one["needed_bytes"] <= 2**30) for one in found.values())


class Steep:
    """A run whose bytes grow in steps; it counts its plans."""

    def __init__(self, least=2**28, of_pixel=300):
        self.least, self.of_pixel, self.num = least, of_pixel, 0

    def plan(self, size):
        self.num += 1
        if size[0] < 160:
            raise PlanError("images are too small")
        step = 2**20 * (size[0] // 256)
        peak = self.least + self.of_pixel * size[0] * size[1] + step
        return StepPlan({"forward": peak}, {}, 0, 0, 0, 0)


@pytest.mark.parametrize("limit", [2**20, 600 * MIB, 820 * MIB, 3000 * MIB, 24 * GIB, 80 * GIB])
def test_the_largest_side_fits_and_the_next_does_not(limit):
    run = Steep()
    side = largest_side(run, limit)
    assert run.num <= 9
    assert side % 32 == 0
    assert side == 0 or run.plan((side, side)).needed_bytes <= limit
    assert side < 128 or run.plan((side + 32, side + 32)).needed_bytes > limit


def test_no_side_is_found_where_none_can_be_planned():
    with pytest.raises(PlanError, match="LBFGS"):
        largest_side(PlannedRun([*TINY, "--model.optimizer=torch.optim.LBFGS"]), 2**40)


def test_gradients_that_wait_for_more_batches_are_counted():
    run = PlannedRun(TINY)
    gradients = sum(parameter.nbytes for parameter in run.module().parameters())
    alone = run.plan((64, 64))
    waits = PlannedRun([*TINY, "--trainer.accumulate_grad_batches=2"]).plan((64, 64))
    assert waits.level - alone.level == gradients
    assert waits.phases["forward"] - alone.phases["forward"] == gradients


def test_recipes_are_searched_once_each_and_for_one_device():
    found = techniques_of_recipes()
    assert "original.yaml" in found
    assert "quickstart.yaml" not in found  # the techniques of original
    assert not any(name.startswith("dist") for name in found)
    assert changes_function(found["mom.yaml"])
    assert not changes_function(found["amp_chkp.yaml"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--gpu-memory=8"], "write 8GB or 8GiB"),
        (["--sizes=big"], "write 1024,2048"),
        (["--sizes=64x64x64"], "write 1024,2048"),
        (["--max-size"], "add --gpu-memory"),
        (["--trainer.precision=transformer-engine"], "cannot be planned"),
        (["--model.encodr=resnet18"], "encodr"),
    ],
)
def test_a_wrong_flag_is_named(capsys, monkeypatch, arguments, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)  # whose memory would be taken
    try:
        code = main(["plan", *TINY, *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert expected in capsys.readouterr().err


def test_a_size_that_cannot_be_planned_is_a_line_beside_the_others(capsys):
    scales = [TINY[0], "--model.num_scales=5"]
    assert main(["plan", *scales, "--sizes=64,192"]) == 2
    printed = capsys.readouterr()
    assert "192 x 192 px" in printed.out
    assert "radenhance: 64 x 64 px could not be planned: " in printed.err
    assert "Traceback" not in printed.err


def test_json_has_an_error_in_place_of_a_plan(capsys):
    assert main(["plan", *TINY, "--sizes=64", "--model.optimizer=torch.optim.LBFGS", "--json"]) == 2
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["size"] == [64, 64]
    assert "LBFGS" in answer["error"]
