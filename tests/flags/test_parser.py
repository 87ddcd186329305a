"""Flags are parsed once, into what both the planner and the run start from."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from hostile_texts import TEXTS
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from old_checkpoints import write_old_checkpoint

from radenhance.errors import UsageError
from radenhance.flags.parser import GIVEN_BY_US, parse_flags, parser_for
from radenhance.flags.recipes import find_recipes
from radenhance.planning.planned_run import PlannedRun

OURS = """
config print_config seed_everything ckpt_path weights_only
model model.encoder model.encoder_weights model.num_scales model.optimizer model.lr_scheduler
model.lr_interval model.int8 model.memory model.memory.checkpointing model.memory.momentum
model.memory.momentum_reversible model.memory.quantization model.memory.offload_mib
model.memory.band_rows model.memory.tf32
data data.root data.image_size data.intensity_range data.crop_size data.batch_size data.val_fraction
data.augment data.exposure_jitter data.cache data.num_workers data.predict_from data.log_names
best_checkpoint last_checkpoint last_checkpoint.every_minutes last_checkpoint.every_n_steps
weight_average weight_average.kind weight_average.decay weight_average.start_step
weight_average.every_n_steps
lr_monitor memory_profiler memory_profiler.period_ms memory_profiler.release_cache
output output.folder trainer
"""
LIGHTNINGS = {
    "best_checkpoint": ModelCheckpoint,
    "lr_monitor": LearningRateMonitor,
    "trainer": Trainer,
}


def flags_in(text):
    return set(re.findall(r"^  (?:-c \w+, )?--([\w.]+)", text, re.M))


@pytest.fixture
def parses(monkeypatch):
    """The arguments of every parse."""
    seen = []
    parse_args = LightningArgumentParser.parse_args

    def counted(self, args, **options):
        seen.append(args)
        return parse_args(self, args, **options)

    monkeypatch.setattr(LightningArgumentParser, "parse_args", counted)
    return seen


@pytest.mark.parametrize("command", GIVEN_BY_US)
def test_no_flag_of_the_first_version_is_lost(command):
    there = flags_in(parser_for(command).format_help())
    assert set(OURS.split()) <= there
    for prefix, cls in LIGHTNINGS.items():
        names = set(inspect.signature(cls).parameters) - {"kwargs"}
        assert {f"{prefix}.{name}" for name in names} <= there
    of_method = set(inspect.signature(getattr(Trainer, command)).parameters)
    assert of_method - GIVEN_BY_US[command] - {"self"} <= there
    assert not GIVEN_BY_US[command] - {"model"} & there


def test_a_fit_is_parsed_once_and_planned_from_that(parses):
    flags = parse_flags("fit", ["--model.encoder=resnet18", "--data.image_size=64"])
    run = PlannedRun(flags)
    assert run.image_size == (64, 64)
    assert run.with_flags({"data.image_size": 96}).image_size == (96, 96)
    assert isinstance(run.module(), torch.nn.Module)
    assert len(parses) == 1


def test_a_checkpoints_settings_are_defaults_below_recipes_and_flags(parses):
    write_old_checkpoint("mom", "old.ckpt")
    Path("mine.yaml").write_text("data:\n  image_size: 96\n")
    bare = parse_flags("fit", ["--ckpt_path=old.ckpt"]).settings
    assert (bare.model.encoder, bare.data.image_size) == ("resnet18", 64)
    assert bare.model.memory.momentum == 0.9
    given = ["--ckpt_path=old.ckpt", "--config=mine.yaml", "--model.memory.momentum=null"]
    flags = parse_flags("fit", given)
    assert (flags.settings.data.image_size, flags.settings.model.memory.momentum) == (96, None)
    assert flags.settings.model.encoder == "resnet18"
    assert flags.checkpoint == Path("old.ckpt")
    assert len(parses) == 6  # without the checkpoint, what was given, and with it


def test_changed_flags_read_no_file_again():
    recipe = Path("mine.yaml")
    recipe.write_text("data:\n  image_size: 96\n")
    flags = parse_flags("fit", ["--config=mine.yaml", "--model.num_scales=2"])
    flags.settings.trainer.max_epochs = 7  # as `choose_cut` sets the cut
    recipe.unlink()
    changed = flags.changed({"model.memory.band_rows": "auto", "trainer.precision": "16-mixed"})
    assert changed.settings.model.memory.band_rows == "auto"
    assert changed.settings.trainer.precision == "16-mixed"
    assert (changed.settings.data.image_size, changed.settings.trainer.max_epochs) == (96, 7)
    assert flags.settings.model.memory.band_rows == 0


@pytest.mark.parametrize("change", [{"model.alpah": 3}, {"data.batch_size": "many"}])
def test_a_wrong_change_is_named_in_a_sentence(change):
    flags = parse_flags("fit", [])
    (name,) = change
    with pytest.raises(UsageError, match=name.rpartition(".")[2]) as raised:
        flags.changed(change)
    assert str(raised.value).endswith("(radenhance fit --help lists all flags)")


def test_the_seed_is_that_of_the_data_too():
    assert parse_flags("fit", ["--seed_everything=5"]).settings.data.seed == 5
    with pytest.raises(UsageError, match="data.seed"):
        parse_flags("fit", ["--data.seed=5"])


def test_everything_is_made_of_its_flags():
    made = parse_flags("fit", ["--data.image_size=64", "--output.folder=out"]).instantiate()
    assert made.data.image_size == 64
    assert made.output.folder == Path("out")
    assert made.last_checkpoint.every_minutes == 10
    assert made.best_checkpoint.monitor == "val/loss"
    assert made.trainer.max_epochs == 50  # arguments still


def test_the_method_gets_the_flags_that_are_its_own():
    assert parse_flags("fit", []).of_method == ["ckpt_path", "weights_only"]
    write_old_checkpoint("original", "old.ckpt")
    flags = parse_flags("validate", ["--ckpt_path=old.ckpt", "--verbose=false"])
    assert flags.of_method == ["ckpt_path", "verbose", "weights_only"]
    assert flags.settings.verbose is False


def test_a_value_that_its_class_cannot_use_is_a_sentence():
    Path("mine.yaml").write_text("memory_profiler: {period_ms: null}\n")
    with pytest.raises(UsageError, match="a flag has a value that does not fit"):
        parse_flags("fit", ["--config=mine.yaml"]).instantiate()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXTS[0].encode(), "more than 100000 values"),
        (b"[" * 5000, "nested more than 32 levels"),
        ("encoder: \u00e9".encode("latin-1"), "does not fit: .*utf-8"),
        (b"#" * (2**20 + 1), "more than 1048576 characters"),
    ],
)
def test_a_file_of_a_group_is_read_within_the_same_bounds(text, message):
    Path("model.yaml").write_bytes(text)
    with pytest.raises(UsageError, match=message):
        parse_flags("fit", ["--model", "model.yaml"])


def test_a_group_may_be_typed_as_a_file_of_its_own():
    Path("model.yaml").write_text("num_scales: 2\n")
    Path("memory.yaml").write_text("band_rows: 64\n")
    words = find_recipes(["--model", "model.yaml", "--model.memory", "memory.yaml"])
    model = parse_flags("fit", words).settings.model
    assert (model.num_scales, model.memory.band_rows) == (2, 64)


@pytest.mark.parametrize("name", ["model", "model.memory", "trainer", "best_checkpoint"])
def test_a_group_without_flags_is_named(name):
    for text in (f"{name}:", f"{name}: 1"):
        Path("mine.yaml").write_text(text)
        with pytest.raises(UsageError, match=name):
            parse_flags("fit", ["--config=mine.yaml"]).instantiate()


def test_a_long_value_is_quoted_in_part():
    with pytest.raises(UsageError, match="every_minutes.*lists all flags") as caught:
        parse_flags("fit", ["--last_checkpoint.every_minutes=" + "x" * 100_000])
    assert len(str(caught.value)) < 1500


def test_a_printed_configuration_is_a_recipe(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse_flags("fit", ["--model.optimizer=SGD", "--model.optimizer.lr=0.1", "--print_config"])
    Path("printed.yaml").write_text(capsys.readouterr().out)
    optimizer = parse_flags("fit", ["--config=printed.yaml"]).settings.model.optimizer
    assert optimizer.class_path == "torch.optim.SGD"
    assert optimizer.init_args.lr == 0.1
