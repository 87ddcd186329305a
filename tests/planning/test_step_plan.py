"""The plan against the same step on real tensors, and against PyTorch's own tracker."""

import json
from dataclasses import replace

import pytest
import torch
from measured import ENCODER, fit, of_module, replicas
from processes import run_nodes
from small_checkpoint import small_content
from torch import Tensor
from torch.distributed._tools.mem_tracker import MemTracker

from radenhance.planning.planned_run import PlannedRun, flags_in_words
from radenhance.planning.search import techniques_of_recipes
from radenhance.planning.step_plan import CONTEXT_BYTES, StepPlan
from radenhance.planning.training_step import TrainingStep
from radenhance.strategies.whole import WholePasses


def encoder_for(techniques):
    """Flags of a narrow encoder, but for bands, which that would make small beside the rest."""
    return ["--model.encoder=resnet18"] if techniques["model.memory.band_rows"] else ENCODER


def of_recipe(name):
    techniques = techniques_of_recipes()[name]
    return PlannedRun(encoder_for(techniques)).with_flags(techniques)


AT_TWO_SIDES = ("original.yaml", "full_resolution_4gb.yaml", "full_resolution_6gb.yaml")
"""Recipes of every way to grow with the image: plain, in bands, and with a limit of bytes."""

CASES = [(recipe, 256) for recipe in techniques_of_recipes()] + [
    (recipe, 512) for recipe in AT_TWO_SIDES
]


@pytest.mark.parametrize(("recipe", "side"), CASES)
def test_planned_bytes_are_those_of_a_fit_on_real_tensors(recipe, side):
    run = of_recipe(recipe)
    plan = run.plan((side, side))
    # a fake native_batch_norm_backward makes the gradient of its input unasked: a band too many
    tolerance = 0.03 if run.settings.model.memory.band_rows else 0.02
    techniques = techniques_of_recipes()[recipe]
    flags = [*encoder_for(techniques), *flags_in_words(techniques)]
    assert plan.peak_bytes == pytest.approx(fit(flags, side, of_module), rel=tolerance)
    assert sum(plan.kinds.values()) == plan.peak_bytes


def test_a_coarse_correction_is_planned_as_it_runs():
    content = small_content()
    content["hyper_parameters"]["output"] = "correction"
    torch.save(content, "reduced.ckpt")
    flags = ["--model.output=correction", "--model.coarse=reduced.ckpt"]
    plan = PlannedRun([*ENCODER, *flags]).plan((256, 256))
    assert plan.peak_bytes == pytest.approx(fit([*ENCODER, *flags], 256, of_module), rel=0.02)


@pytest.mark.parametrize("band_rows", ["0", "32"])
def test_planned_bytes_of_a_correction_are_those_of_a_fit_on_real_tensors(band_rows):
    flags = [*ENCODER, "--model.output=correction", "--model.l1_share=0.16"]
    flags.append(f"--model.memory.band_rows={band_rows}")
    peak = fit(flags, 256, of_module)
    assert PlannedRun(flags).plan((256, 256)).peak_bytes == pytest.approx(peak, rel=0.03)


@pytest.mark.parametrize("recipe", ["original.yaml", "chkp.yaml", "amp.yaml", "quant.yaml"])
def test_planned_bytes_are_those_of_pytorchs_own_tracker(recipe):
    run, size = of_recipe(recipe), (256, 256)
    rehearsed = run.rehearsed(size)
    with rehearsed.mode:
        step = TrainingStep(rehearsed.module, rehearsed.precision)
        step.make_gradients()
        step.optimize()
        batch = run.batch(size)
        images = [leaf for leaf in batch.values() if isinstance(leaf, Tensor)]
        tracker = MemTracker()
        tracker.track_external(rehearsed.module, step._optimizer, *images)
        with tracker:
            step(batch)
        (peak,) = tracker.get_tracker_snapshot("peak").values()
    assert run.plan(size).peak_bytes == peak["Total"]


@pytest.fixture(scope="module")
def sharded_peaks(tmp_path_factory):
    """Peak bytes of two replicas with sharded parameters, in fits on real tensors."""
    folder = tmp_path_factory.mktemp("real")
    cases = {"sharded": ("fully_sharded", ENCODER)}
    run_nodes(replicas, str(folder / "of"), cases, 256, folder=folder / "run")
    return [json.loads((folder / f"of-{rank}.json").read_text())["sharded"] for rank in range(2)]


TWO = ["--trainer.num_nodes=2", "--trainer.devices=1"]


def test_planned_bytes_of_a_shard_are_those_of_real_replicas(sharded_peaks):
    plan = PlannedRun([*ENCODER, *TWO, "--trainer.strategy=fsdp"]).plan((256, 256))
    for peak in sharded_peaks:  # gathered parts are released when the other process is ready
        assert plan.peak_bytes == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize("num", [2, 4])
def test_shards_divide_what_is_kept_and_gather_what_runs(num):
    flags = [*ENCODER, "--model.num_scales=auto", "--trainer.devices=1"]
    whole = PlannedRun(flags).plan((64, 64))
    sharded = [*flags, f"--trainer.num_nodes={num}", "--trainer.strategy=fsdp"]
    shard = PlannedRun(sharded).plan((64, 64))
    assert shard.level == pytest.approx(whole.level / num, rel=0.01)
    assert whole.phases["forward"] / num < shard.phases["forward"] < whole.phases["forward"]


def test_replicas_of_ddp_have_their_gradients_twice():
    flags = [*ENCODER, "--model.num_scales=auto"]
    alone = PlannedRun(flags).plan((64, 64))
    ddp = PlannedRun([*flags, *TWO, "--trainer.strategy=ddp"]).plan((64, 64))
    gradients = sum(p.nbytes for p in PlannedRun(flags).real_module.parameters())
    assert ddp.level - alone.level == gradients
    assert ddp.kinds["gradients"] - alone.kinds["gradients"] == gradients


AVERAGING = "--trainer.callbacks+=lightning.pytorch.callbacks"
SMALL = [
    *ENCODER,
    "--model.num_scales=auto",
    "--model.optimizer=torch.optim.SGD",
]


@pytest.fixture(scope="module")
def without_averages():
    return PlannedRun(SMALL).plan((64, 64))


@pytest.mark.parametrize(
    ("callback", "num"),
    [
        ([f"{AVERAGING}.WeightAveraging"], 1),
        ([f"{AVERAGING}.EMAWeightAveraging"], 1),
        ([f"{AVERAGING}.EMAWeightAveraging", "--trainer.callbacks.device=cpu"], 0),
        ([f"{AVERAGING}.StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.1"], 0),
        (
            [
                f"{AVERAGING}.StochasticWeightAveraging",
                "--trainer.callbacks.swa_lrs=0.1",
                "--trainer.callbacks.device=null",
            ],
            1,
        ),
        (["--weight_average.kind=ema"], 1),
        (["--weight_average.kind=swa"], 1),
        ([f"{AVERAGING}.EarlyStopping", "--trainer.callbacks.monitor=val/loss"], 0),
    ],
)
def test_averages_of_the_weights_are_counted_where_they_are_kept(callback, num, without_averages):
    run = PlannedRun([*SMALL, *callback])
    weights = sum(t.nbytes for t in WholePasses(run.real_module, None).tensors())
    assert run.plan((64, 64)).level - without_averages.level == num * weights


def test_allowances_are_for_context_and_workspaces():
    phases = {"forward": 10, "backward": 1000, "optimizer": 30}
    plan = StepPlan(phases, {}, level=5, forward_end=8, forward_bytes=5, backward_bytes=992)
    assert plan.peak_bytes == 1000
    assert plan.needed_bytes == 1000 + 50 + CONTEXT_BYTES
    assert replace(plan, phases={**phases, "optimizer": 2000}).workspace_bytes == 100


def test_phases_are_those_of_the_memory_profiler():
    plan = of_recipe("original.yaml").plan((256, 256))
    assert plan.forward_bytes == plan.phases["forward"] - plan.level
    assert plan.backward_bytes == plan.phases["backward"] - plan.forward_end
    assert plan.level < plan.forward_end < plan.phases["forward"]


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        (
            [*ENCODER, "--model.memory.band_rows=4", "--model.memory.offload_mib=1"],
            (96, 64),
        ),
        (["--model.encoder=tu-mobilenetv3_small_050", "--model.l1_share=0.16"], (4096, 640)),
    ],
)
def test_a_few_bands_tell_the_plan_of_all(flags, size, monkeypatch):
    run = PlannedRun(["--model.num_scales=auto", *flags])
    few = run.plan(size)
    monkeypatch.setattr("radenhance.repetition.ENDS", 10**6)
    every = run.plan(size)
    assert replace(few, seconds=every.seconds) == every
    assert few.seconds == pytest.approx(every.seconds, rel=1e-12)


def test_planning_takes_no_memory_that_a_gpu_would_not_have():
    before = torch.get_default_dtype()
    huge = PlannedRun(["--model.encoder=tu-mobilenetv3_small_050"]).plan((32_768, 32_768))
    assert huge.peak_bytes > 2**39  # half a TiB
    assert torch.get_default_dtype() == before
