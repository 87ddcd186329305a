"""A run: seeded, cut, planned, warned of, run, and ended in a sentence."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from radenhance.callbacks.dashboard import Dashboard
from radenhance.cli import main
from radenhance.command_line.run import (
    choose_cut,
    ended_in_a_sentence,
    memory_errors,
    seed,
    warn_of_memory,
)
from radenhance.errors import GpuMemoryError, UsageError
from radenhance.flags.parser import parse_flags
from radenhance.planning.planned_run import PlannedRun

TINY = [
    "--model.encoder=tu-mobilenetv3_small_050",
    "--model.num_scales=auto",
    "--data.image_size=64",
]
CUT = ["--trainer.strategy=EncoderDecoderStrategy", "--trainer.strategy.cut=auto"]


@pytest.fixture
def small_gpu(monkeypatch):
    """A trainer on a GPU with 1 MiB left, as far as anyone asks."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**20, 2**30))
    strategy = SimpleNamespace(root_device=torch.device("cuda"))
    dashboard = Dashboard({}, "radenhance fit")
    return SimpleNamespace(strategy=strategy, is_global_zero=True, callbacks=[dashboard])


def test_the_seed_is_set_and_a_random_one_is_noted():
    seed(parse_flags("fit", ["--seed_everything=7"]))
    expected = torch.rand(1)
    seed(parse_flags("fit", ["--seed_everything=7"]))
    assert torch.equal(torch.rand(1), expected)
    flags = parse_flags("fit", ["--seed_everything=true"])
    seed(flags)
    assert type(flags.settings.seed_everything) is int


def test_without_a_seed_random_numbers_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    seed(parse_flags("fit", ["--seed_everything=false"]))
    assert torch.equal(torch.rand(1), expected)


def test_a_number_that_is_no_seed_is_said():
    with pytest.raises(UsageError, match="--seed_everything: -3 is not in bounds"):
        seed(parse_flags("fit", ["--seed_everything=-3"]))


def test_the_cut_of_a_fit_is_planned_without_touching_random_numbers():
    flags = parse_flags("fit", [*TINY, *CUT])
    before = torch.get_rng_state()
    choose_cut(flags)
    cut = flags.settings.trainer.strategy.init_args.cut
    assert cut != "auto"
    assert torch.equal(torch.get_rng_state(), before)
    assert PlannedRun(flags).settings.trainer.strategy.init_args.cut == cut


def test_what_is_not_trained_is_cut_where_the_decoder_begins():
    flags = parse_flags("fit", [*TINY, *CUT])
    object.__setattr__(flags, "command", "validate")
    choose_cut(flags)
    assert flags.settings.trainer.strategy.init_args.cut == "decoder0"


@pytest.fixture
def no_recipe_helps(monkeypatch):
    """Planning every recipe takes a while, and is tested with the planner."""
    monkeypatch.setattr("radenhance.planning.advice.candidates", lambda run, size: [])


def test_a_gpu_without_room_is_warned_of_and_the_plan_is_on_the_card(small_gpu, no_recipe_helps):
    with pytest.warns(UserWarning, match="will probably not fit on the GPU"):
        warn_of_memory(parse_flags("fit", TINY), small_gpu)
    (dashboard,) = small_gpu.callbacks
    assert "highest use of each phase" in dashboard.plan


def test_a_run_that_cannot_be_planned_is_not_kept_from_running(small_gpu):
    flags = parse_flags("fit", [*TINY, "--trainer.precision=transformer-engine"])
    with pytest.warns(UserWarning, match="could not be planned: .*transformer-engine"):
        warn_of_memory(flags, small_gpu)
    assert "could not be planned" in small_gpu.callbacks[0].plan


def test_a_fit_that_ran_out_of_memory_is_told_what_needs_less(no_recipe_helps):
    with (
        pytest.raises(GpuMemoryError, match="ran out of memory at 64 x 64 px .*--ckpt_path last"),
        memory_errors(parse_flags("fit", TINY)),
    ):
        raise torch.OutOfMemoryError


def test_a_prediction_that_ran_out_of_memory_is_told_flags_that_help():
    flags = parse_flags("fit", TINY)
    object.__setattr__(flags, "command", "predict")
    expected = pytest.raises(GpuMemoryError, match="add --model.memory.band_rows=auto")
    with expected, memory_errors(flags):
        raise torch.OutOfMemoryError


def test_other_defects_keep_their_traceback():
    with pytest.raises(RuntimeError, match="a defect"), ended_in_a_sentence():
        raise RuntimeError("a defect")


def test_the_saved_configuration_of_a_run_repeats_it(tiny_flags):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    saved = Path("lightning_logs/fit_64_0/config.yaml")
    assert main(["fit", f"--config={saved}", tiny_flags[0]]) == 0
    first, second = (
        torch.load(f"lightning_logs/fit_64_{i}/checkpoints/last.ckpt")["state_dict"] for i in (0, 1)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = Path("lightning_logs/fit_64_1/config.yaml").read_text()
    assert again == saved.read_text()


def test_a_saved_configuration_does_without_the_folder_and_asks_for_it(tiny_flags, capsys):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    assert main(["fit", "--config=lightning_logs/fit_64_0/config.yaml"]) == 2
    assert "--data.root (left out; name it again): no such folder" in capsys.readouterr().err


def test_a_state_that_lightning_cannot_restore_is_one_sentence(tiny_flags, capsys):
    assert main(["fit", *tiny_flags, "--trainer.max_steps=1"]) == 0
    content = torch.load("lightning_logs/fit_64_0/checkpoints/last.ckpt")
    for name, value in (
        ("loops", {"fit_loop": {"epoch_progress": 3}}),
        ("loops", {"fit_loop": 3}),
        ("lr_schedulers", [{}]),
        ("optimizer_states", [{"state": {}, "param_groups": []}]),
        ("callbacks", {"Dashboard": {"a": 1}}),
        ("RadiographDataModule", [1]),
    ):
        torch.save(content | {name: value}, "wrong.ckpt")
        capsys.readouterr()
        assert main(["fit", *tiny_flags, "--trainer.max_steps=2", "--ckpt_path=wrong.ckpt"]) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith("radenhance: ")
        assert "give another checkpoint" in message


FINDER, BACKBONE, SIZES, AVERAGING, TIMER = (
    f"--trainer.callbacks+=lightning.pytorch.callbacks.{name}"
    for name in (
        *("LearningRateFinder", "BackboneFinetuning", "BatchSizeFinder"),
        *("StochasticWeightAveraging", "Timer"),
    )
)
PROFILED = "--trainer.profiler=simple"
HOUR = "--trainer.callbacks.duration=00:01:00:00"
SWIN = "--model.encoder=tu-swin_tiny_patch4_window7_224"
ONE_CYCLE = [
    "--model.lr_scheduler=torch.optim.lr_scheduler.OneCycleLR",
    "--model.lr_scheduler.max_lr=0.01",
    "--model.lr_scheduler.total_steps=2",
    "--model.lr_interval=step",
]


@pytest.mark.parametrize(
    "typed",
    [
        ["--trainer.overfit_batches=1"],
        ["--trainer.fast_dev_run=1"],
        ["--trainer.limit_train_batches=0"],
        ["--trainer.limit_val_batches=0", "--trainer.limit_train_batches=1"],
        ["--trainer.max_epochs=0"],
        ["--trainer.limit_val_batches=1", "--trainer.detect_anomaly=true", PROFILED, TIMER, HOUR],
        ["--trainer.profiler=advanced", "--trainer.max_time=00:01:00:00", TIMER],
        [SIZES, "--trainer.callbacks.max_trials=1", "--trainer.callbacks.steps_per_trial=1"],
        [AVERAGING, "--trainer.callbacks.swa_lrs=0.1"],
        [*ONE_CYCLE, "--model.lr_interval=epoch"],
    ],
    ids=" ".join,
)
def test_what_people_try_first_runs(tiny_flags, typed):
    assert main(["fit", *tiny_flags, "--data.image_size=32", "--trainer.max_epochs=1", *typed]) == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([FINDER], "set --model.optimizer.lr"),
        (["--trust-recipe", BACKBONE], "set --model.frozen_encoder_epochs"),
        (["--data.batch_size=5"], "another --data.batch_size"),
        (ONE_CYCLE, "total_steps is less than the steps of the run"),
        ([SWIN], f"{SWIN} cannot run on 64 x 64 pixels"),
        (["--trainer.val_check_interval=10"], "val_check_interval is more than the batches of an"),
    ],
    ids=["learning rate finder", "backbone", "ragged batch", "one cycle", "swin", "interval"],
)
def test_what_does_not_go_with_lightning_is_one_sentence(tiny_flags, capsys, typed, said):
    flags = [*tiny_flags, "--data.image_size=32", "--trainer.max_epochs=1", *typed]
    assert main(["fit", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
