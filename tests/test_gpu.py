"""What only a GPU shows, by the command line; skipped where there is none."""

import csv
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from processes import command, run, run_nodes, start, start_nodes

from radenhance.flags.recipes import recipes
from radenhance.planning.planned_run import PlannedRun
from radenhance.units import MIB

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZE = 128
ALONE = sorted(name for name in recipes() if not name.startswith("dist"))
CHANGES_FUNCTION = ("mom", "quant")


@pytest.fixture
def flags(tiny_flags):
    return [
        *tiny_flags,
        "--trainer.accelerator=gpu",
        "--trainer.devices=1",
        "--trainer.max_epochs=2",
        "--trainer.log_every_n_steps=1",
        "--model.encoder=resnet18",
        "--model.optimizer=SGD",
        "--model.optimizer.lr=0.001",
        f"--data.image_size={SIZE}",
    ]


def losses_of(folder):
    """The training loss of each step."""
    (log,) = folder.rglob("metrics.csv")
    rows = list(csv.DictReader(log.open()))
    column = next(name for name in ("train/loss_step", "train/loss") if name in rows[0])
    return np.array([float(row[column]) for row in rows if row[column]])


def noted(folder):
    (path,) = folder.rglob("run.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("recipe", ALONE)
def test_a_recipe_trains_on_a_gpu_as_plain_training_does(tmp_path, flags, recipe):
    own = ["--model.output=image", "--model.l1_share=0"]
    run(command, "fit", *flags, *own, folder=tmp_path / "plain")
    run(command, "fit", "--config", recipe, *flags, *own, folder=tmp_path / "ours")
    plain, ours = losses_of(tmp_path / "plain"), losses_of(tmp_path / "ours")
    assert plain.shape == ours.shape == (6,)
    assert np.isfinite(ours).all()
    if not any(word in recipe for word in CHANGES_FUNCTION):
        # later ones are far apart from run to run: cuDNN adds in any order, and float16's first
        # steps are left out until its scale fits
        assert ours[0] == pytest.approx(plain[0], rel=1e-3 if "amp" in recipe else 1e-5)
    peaks = noted(tmp_path / "ours")["peak_mib"]
    assert {"allocated", "reserved"} <= peaks.keys()
    assert 0 < peaks["allocated"] <= peaks["reserved"]


@pytest.mark.parametrize("recipe", [name for name in ALONE if name != "compile.yaml"])
def test_a_plan_is_near_what_the_allocator_says(tmp_path, flags, recipe):
    """At a small size, workspaces of convolutions are a large share of what a step takes."""
    size = ["--data.image_size=256"]
    run(command, "fit", "--config", recipe, *flags, *size, folder=tmp_path)
    used = noted(tmp_path)["peak_mib"]["allocated"]
    plan = PlannedRun(["--config", str(recipes()[recipe]), *flags, *size]).plan((256, 256))
    assert plan.peak_bytes / MIB / 1.03 <= used <= plan.peak_bytes / MIB * 1.25


STRATEGIES = ["EncoderDecoderStrategy", "RowsStrategy"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_on_one_gpu_train_as_one_over_gloo(tmp_path, flags, strategy):
    flags = [*flags, "--trainer.precision=64-true"]
    by = [f"--trainer.strategy=radenhance.strategies.{strategy}", "--trainer.num_nodes=2"]
    gloo = "--trainer.strategy.process_group_backend=gloo"
    run_nodes(command, "fit", *flags, *by, gloo, folder=tmp_path / "two")
    run(command, "fit", *flags, folder=tmp_path / "one")
    assert losses_of(tmp_path / "two") == pytest.approx(losses_of(tmp_path / "one"), rel=1e-9)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_that_have_one_gpu_are_refused_under_nccl(tmp_path, flags, strategy):
    by = [f"--trainer.strategy=radenhance.strategies.{strategy}", "--trainer.num_nodes=2"]
    for process in start_nodes(command, "fit", *flags, *by, folder=tmp_path / "two"):
        assert process.wait(100).code == 2, process.output
        assert "rank 0 and rank 1 have the same GPU" in process.output.splitlines()[-1]


def test_a_run_goes_on_on_a_gpu_and_on_a_processor(tmp_path, flags):
    exact = [*flags, "--trainer.precision=64-true"]
    run(command, "fit", *exact, folder=tmp_path / "whole")
    for first, second in itertools.permutations(("gpu", "cpu")):
        folder = tmp_path / first
        begun = [*exact, "--trainer.max_epochs=1", f"--trainer.accelerator={first}"]
        run(command, "fit", *begun, folder=folder)
        rest = [*exact, "--ckpt_path=last", f"--trainer.accelerator={second}"]
        run(command, "fit", *rest, folder=folder)
        ours, whole = weights(folder), weights(tmp_path / "whole")
        for name, tensor in whole.items():
            # steps enlarge the rounding of sums
            assert (ours[name] - tensor).double().norm() <= 1e-6 * tensor.double().norm(), name


def weights(folder):
    (path,) = folder.rglob("last.ckpt")
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def test_an_enhanced_radiograph_of_a_gpu_is_that_of_a_processor(tmp_path, flags):
    run(command, "fit", *flags, folder=tmp_path)
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    raw = next(Path(flags[0].removeprefix("--data.root=")).glob("raw/*.npy"))
    shown = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        words = ["enhance", str(checkpoint), str(raw), "--out", str(out), "--format=tiff"]
        run(command, *words, "--device", device, folder=tmp_path / "work")
        (path,) = out.rglob("*.tif*")
        shown[device] = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64)
    assert np.abs(shown["cuda"] - shown["cpu"]).max() <= 8  # of 65,535


def test_a_card_that_is_too_small_says_so_and_what_to_do(tmp_path, flags):
    large = [*flags, "--data.image_size=512", "--data.batch_size=4"]
    process = start(in_little_memory, *large, folder=tmp_path / "run", name="alone").wait(200)
    assert process.code not in (0, 1), process.output
    assert "Traceback" not in process.output
    last = process.output.splitlines()[-1]
    assert last.startswith("radenhance: "), process.output
    assert "memory" in last
    assert "--model.memory" in last or "--trainer.precision" in last


def in_little_memory(*flags):
    torch.cuda.set_per_process_memory_fraction(0.01)
    return command("fit", *flags)


def test_a_card_is_measured_and_its_speed_is_told_by_plans(tmp_path, flags):
    where = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for words in (["--calibrate"], ["--config", "original.yaml", "--sizes", "512"]):
        process = start(
            command, "plan", *words, folder=tmp_path / "run", name="plan", **where
        ).wait(300)
        assert process.code == 0, process.output
    assert torch.cuda.get_device_name() in process.output


def test_the_dashboard_has_the_figures_of_the_card(tmp_path, flags):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(command, "fit", *flags, folder=tmp_path)
    (events,) = {path.parent for path in tmp_path.rglob("events.out*")}
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    assert any("allocated" in tag for tag in tags), tags
    assert any("nvml" in tag for tag in tags), tags
