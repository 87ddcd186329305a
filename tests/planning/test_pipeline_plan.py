"""The plan of encoder and decoder on two GPUs."""

import json

import pytest

from radenhance.cli import main
from radenhance.planning.advice import plan_and_warning
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.stages import PipelineStep, plan_pipeline, strategy_of
from radenhance.planning.step_plan import CONTEXT_BYTES

PATH = "radenhance.strategies.EncoderDecoderStrategy"
FLAGS = [
    "--model.encoder=resnet18",
    "--model.num_scales=auto",
    "--trainer.num_nodes=2",
    "--trainer.devices=1",
    "--trainer.strategy=encoder_decoder",
]
SIZE = (128, 128)


def run_of(*flags):
    by_path = [f"--trainer.strategy={PATH}"] if "strategy." in " ".join(flags) else []
    run = PlannedRun([*FLAGS, *by_path, *flags])
    return run, strategy_of(run)


def test_two_nodes_of_one_device_are_planned_as_encoder_and_decoder(capsys):
    flags = [flag for flag in FLAGS if "strategy" not in flag]
    assert main(["plan", *flags, "--sizes=128", "--gpu-memory=8GiB"]) == 0
    printed = capsys.readouterr().out
    assert "encoder     decoder" in printed
    assert "the encoder fits in 8,192 MiB" in printed


def test_bytes_that_are_sent_are_those_of_the_skips(capsys):
    assert main(["plan", *FLAGS, "--sizes=128", "--data.batch_size=3", "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    per_pixel = 64 / 4 + 64 / 16 + 128 / 64 + 256 / 256 + 512 / 1024  # channels / stride squared
    assert plan["features_bytes"] == plan["gradients_bytes"] == 3 * 4 * 128**2 * per_pixel
    assert plan["batch_bytes"] == 3 * 2 * 4 * 128**2
    assert plan["network_seconds"] == pytest.approx(plan["sent_bytes"] * 8 / 10e9)


def test_bfloat16_transfer_halves_what_is_sent():
    run, strategy = run_of()
    half, of_half = run_of("--trainer.strategy.bfloat16_transfer=true")
    sent = plan_pipeline(half, of_half, SIZE).features_bytes
    assert 2 * sent == plan_pipeline(run, strategy, SIZE).features_bytes


def test_both_stages_together_hold_what_one_device_holds():
    run, strategy = run_of()
    step = PipelineStep(run, strategy, SIZE)
    one = step.plan("one")
    assert one.peak_bytes == pytest.approx(run.plan(SIZE).peak_bytes, rel=0.02)
    for device in ("encoder", "decoder"):
        assert step.plan(device).peak_bytes < one.peak_bytes
    both = sum(step.plan(device).peak_bytes for device in ("encoder", "decoder"))
    assert both >= one.peak_bytes


def test_gpipe_holds_all_micro_batches_and_1f1b_two():
    def rises(schedule, batch):
        run, strategy = run_of(
            f"--trainer.strategy.schedule={schedule}", f"--data.batch_size={batch}"
        )
        plan = PipelineStep(run, strategy, SIZE).plan("encoder")
        return plan.forward_bytes, plan.backward_bytes

    (two, _), (four, _) = rises("gpipe", 2), rises("gpipe", 4)
    assert four == pytest.approx(2 * two, rel=0.01)
    alternating, gradients = rises("1f1b", 4)
    assert rises("1f1b", 2)[0] == pytest.approx(two, rel=0.01)
    # the gradients of the first micro-batches are there when the last ones go forwards
    assert alternating == pytest.approx(two + gradients, rel=0.01)


def test_checkpointing_makes_both_stages_smaller():
    run, strategy = run_of()
    less, its = run_of("--model.memory.checkpointing=unit")
    before, after = (plan_pipeline(r, s, SIZE) for r, s in ((run, strategy), (less, its)))
    for stage in ("encoder", "decoder"):
        assert after.stages[stage].forward_bytes < 0.7 * before.stages[stage].forward_bytes


def test_the_best_cut_lowers_the_peak_of_the_fuller_gpu(capsys):
    def larger(cut):
        run, strategy = run_of(f"--trainer.strategy.cut={cut}")
        stages = plan_pipeline(run, strategy, (1024, 1024)).stages.values()
        return max(stage.peak_bytes for stage in stages)

    flags = [f"--trainer.strategy={PATH}", "--trainer.strategy.cut=auto", "--sizes=1024"]
    assert main(["plan", *FLAGS, *flags, "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["cut"] == "decoder3"  # at decoder0 the decoder is the fuller one
    peak = max(stage["peak_bytes"] for stage in plan["stages"].values())
    assert peak < min(larger("decoder2"), larger("decoder4"))


def test_a_fit_is_warned_when_the_fuller_gpu_has_no_room():
    run, strategy = run_of()
    stages = plan_pipeline(run, strategy, (512, 512)).stages  # 512 px when no flag says more
    needed = max(stage.needed_bytes for stage in stages.values())
    free = needed - CONTEXT_BYTES
    text, unwelcome = plan_and_warning(run, free, needed)
    assert "encoder     decoder" in text
    assert unwelcome is None
    assert "the fuller one needs" in plan_and_warning(run, free - 1, needed)[1]


def test_a_search_over_two_devices_is_refused(capsys):
    assert main(["plan", *FLAGS, "--search"]) == 2
    assert "--search and --max-size plan one device" in capsys.readouterr().err
