"""Two processes train as one device does: to the bit, and into the same file."""

import json
from itertools import groupby

import pytest
import torch
import yaml
from foreign import everything, overflow, profiled
from noise_fit import ALONE, BOTH, LAST, TRAINING, assert_same_run, content, noise_fit
from processes import command, run, run_nodes, start_nodes


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return noise_fit(tmp_path_factory.mktemp("data") / "noise")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, flags):
    """Two epochs on one device."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(command, *flags, *TRAINING, *ALONE, folder=folder)
    assert content(folder)["lr_schedulers"][0]["_last_lr"][0] < 0.001  # the plateau has stepped
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory, flags):
    """One epoch on two, with a cut that is chosen, and then, resumed, one without a strategy named.

    Choosing the cut takes no random number: the images come in the order of one device.
    """
    folder = tmp_path_factory.mktemp("shared") / "run"
    cut = [
        "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy",
        "--trainer.strategy.cut=auto",
    ]
    run_nodes(command, *flags, *TRAINING, *BOTH, *cut, "--trainer.max_epochs=1", folder=folder)
    after_one = content(folder)
    run_nodes(command, *flags, *TRAINING, *BOTH, "--ckpt_path=last", folder=folder)
    return folder, after_one


def test_two_processes_that_stopped_and_went_on_are_one_device_to_the_bit(shared, whole):
    assert_same_run(shared[0], whole)


def test_the_saved_config_names_the_strategy_that_ran(shared):
    saved = yaml.safe_load((shared[0] / LAST.parents[1] / "config.yaml").read_text())
    assert saved["trainer"]["strategy"] == "encoder_decoder"
    assert saved["trainer"]["num_nodes"] == 2


def test_one_device_goes_on_from_a_checkpoint_of_two(tmp_path, flags, shared, whole):
    torch.save(shared[1], tmp_path / "of_two.ckpt")
    resumed = f"--ckpt_path={tmp_path / 'of_two.ckpt'}"
    run(command, *flags, *TRAINING, *ALONE, resumed, folder=tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_two_go_on_from_a_checkpoint_of_one_device(tmp_path, flags, whole):
    once = "--trainer.max_epochs=1"
    run(command, *flags, *TRAINING, *ALONE, once, folder=tmp_path / "one")
    resumed = f"--ckpt_path={tmp_path / 'one' / LAST}"
    run_nodes(command, *flags, *TRAINING, *BOTH, resumed, folder=tmp_path / "run")
    assert_same_run(tmp_path / "one", whole)  # it goes on in the folder of its run


@pytest.mark.parametrize("mode", ["unit", "stage"])
def test_bands_on_two_devices_train_as_the_plain_network_on_one(tmp_path, flags, mode):
    exact = ["--trainer.precision=64-true", "--model.encoder=resnet18", "--trainer.max_epochs=1"]
    run(command, *flags, *TRAINING, *exact, *ALONE, folder=tmp_path / "one")
    bands = ["--model.memory.band_rows=6", f"--model.memory.checkpointing={mode}"]
    run_nodes(command, *flags, *TRAINING, *exact, *BOTH, *bands, folder=tmp_path / "two")
    ours, theirs = (content(tmp_path / name)["state_dict"] for name in ("two", "one"))
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, rtol=1e-10, atol=1e-13), name


def test_techniques_bfloat16_and_another_cut_are_exact_too(tmp_path, flags):
    techniques = [
        "--trainer.precision=bf16-mixed",
        "--model.memory.checkpointing=unit",
        "--trainer.max_epochs=1",
    ]
    run(command, *flags, *TRAINING, *techniques, *ALONE, folder=tmp_path / "one")
    cut = [
        "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy",
        "--trainer.strategy.cut=decoder1",
    ]
    run_nodes(command, *flags, *TRAINING, *techniques, *BOTH, *cut, folder=tmp_path / "two")
    assert_same_run(tmp_path / "two", tmp_path / "one")


def test_a_foreign_module_trains_stops_early_tests_and_predicts_as_on_one_device(tmp_path):
    run(everything, str(tmp_path / "one"), {}, folder=tmp_path / "run")
    run_nodes(everything, str(tmp_path / "two"), {"micro_batch_size": 2}, folder=tmp_path / "run")
    one = torch.load(tmp_path / "one-0.pt", weights_only=True)
    assert one["epochs"] == 3  # of nine
    assert one["lr"] == pytest.approx(0.01 * 0.9**6)  # two steps per epoch
    for rank in range(2):
        two = torch.load(tmp_path / f"two-{rank}.pt", weights_only=True)
        for name, tensor in one["weights"].items():
            assert torch.equal(two["weights"][name], tensor), name
        assert (two["epochs"], two["lr"]) == (one["epochs"], one["lr"])
        shared = {name: value for name, value in one["metrics"].items() if name != "train"}
        assert "test" in shared
        assert "accuracy/dataloader_idx_1" in shared
        for name, value in shared.items():
            assert two["metrics"][name] == pytest.approx(value, rel=1e-6), name
        for ours, theirs in zip(two["predicted"], one["predicted"], strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("num", [2, 4])
def test_a_step_that_overflows_in_one_process_is_skipped_by_all(tmp_path, num):
    run_nodes(overflow, str(tmp_path / "of"), num, folder=tmp_path / "run", num=num)
    for rank in range(num):
        saved = torch.load(tmp_path / f"of-{rank}.pt", weights_only=True)
        assert saved["scale"] == 2.0  # halved once
        assert all(tensor.isfinite().all() for tensor in saved["weights"].values())


def test_processes_started_differently_are_told_where(tmp_path, flags):
    different = (["--trainer.gradient_clip_val=1.0"], ["--trainer.gradient_clip_val=2.0"])
    both = start_nodes(command, *flags, *BOTH, folder=tmp_path / "run", different=different)
    for process in both:
        assert process.wait(60).code == 2
        assert "rank 0 has gradient_clip_val 1.0, rank 1 has 2.0" in process.output
        assert "Traceback" not in process.output


@pytest.mark.parametrize(
    ("schedule", "of_decoder", "of_encoder"),
    [
        ("gpipe", "forward backward optimizer", "forward backward optimizer"),
        (
            "1f1b",
            "forward backward " * 4 + "optimizer",
            "forward backward " * 3 + "optimizer",  # two micro-batches before the first gradient
        ),
    ],
)
def test_the_memory_profiler_sees_the_phases_of_both_stages(
    tmp_path, schedule, of_decoder, of_encoder
):
    run_nodes(profiled, str(tmp_path / "of"), schedule, folder=tmp_path / "run")
    for rank, expected in enumerate((of_decoder, of_encoder)):
        phases = json.loads((tmp_path / f"of-{rank}.json").read_text())
        # a reading that repeats the phase before it adds nothing to it
        assert " ".join(phase for phase, _ in groupby(phases)) == expected


def test_sharding_over_one_pipeline_is_refused(tmp_path, flags):
    sharded = [
        "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy",
        "--trainer.strategy.sharded=true",
    ]
    for process in start_nodes(command, *flags, *BOTH, *sharded, folder=tmp_path / "run"):
        assert process.wait(60).code == 2
        assert "--trainer.strategy.sharded is True, expected False where there is one" in (
            process.output
        )


def test_a_strategy_is_known_by_its_path_alone(flags, capsys):
    by_path = "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy"
    assert command(*flags, "--trainer.devices=1", by_path) == 2
    assert (
        "has 1 processes, expected two or pairs of them; use --trainer.devices=2"
        in capsys.readouterr().err
    )
