"""A recipe is data: nothing of a stranger's is imported or called, but with --trust-recipe."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hostile_texts import ATTACKS, CARRIERS, CLASSES, OF_TRAINER, TOUCHED, planted_canary

from radenhance.errors import UsageError
from radenhance.flags.parser import parse_flags
from radenhance.flags.recipes import find_recipes
from radenhance.flags.trust import TRUST

ROOT = Path(__file__).parents[2]


@pytest.fixture
def canary(monkeypatch):
    """A module on sys.path that leaves a file when it is touched."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("planted").mkdir()
    planted_canary(Path("planted").resolve())


def parsed(recipe, *flags):
    Path("mine.yaml").write_text(yaml.safe_dump(recipe))
    return parse_flags("fit", [*find_recipes(["--config", "mine.yaml"]), *flags])


def places(attack):
    """Yield recipes that have an attack where a class is expected."""
    for name in CLASSES:
        yield {"model": {name: attack}}
    for name in OF_TRAINER:
        yield {"trainer": {name: [attack] if name in ("callbacks", "plugins") else attack}}


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_nothing_of_a_strangers_runs_wherever_it_stands(canary, attack):
    named = isinstance(attack, dict) and "Adam" not in attack["class_path"]
    for recipe in places(attack):
        with pytest.raises(UsageError) if named else suppress(UsageError):
            parsed(recipe, "--model.encoder=tu-mobilenetv3_small_050").instantiate()
    assert not Path(TOUCHED).exists()
    assert "planted_canary" not in sys.modules


@pytest.mark.parametrize("carrier", CARRIERS[:-1])
def test_nothing_is_made_of_what_a_known_class_would_be_given(canary, carrier):
    for recipe in places(carrier({"class_path": "planted_canary.Planted"})):
        try:
            parsed(recipe).instantiate()
        except UsageError:
            continue
        raise AssertionError(recipe)
    assert not Path(TOUCHED).exists()


@pytest.mark.parametrize(
    ("flag", "what"),
    [
        ("--model.optimizer=os.system", "os.system is none of the classes known here"),
        ("--model.lr_scheduler=planted_canary.planted", "planted_canary.planted is none of"),
        ("--trainer.logger=WandbLogger", "WandbLogger is none of the classes"),
        ("--model.optimizer.help=planted_canary.Planted", "planted_canary.Planted"),
        ("--trainer.default_root_dir=s3://bucket/runs", "an address"),
        ("--trainer.logger.save_dir=memory://x", "an address|Group|logger"),
        ("--trainer=https://localhost:1/a.yaml", "trainer"),
        ("--model.optimizer=torch.optim.lr_scheduler.StepLR", "subclass|StepLR"),
    ],
)
def test_what_is_typed_is_held_to_the_same(canary, flag, what):
    with pytest.raises(UsageError, match=what):
        parse_flags("fit", [flag])
    assert not Path(TOUCHED).exists()


def test_functions_of_known_packages_are_not_called_either():
    path = "torch.optim.swa_utils.update_bn"
    callback = {"class_path": "LambdaCallback", "init_args": {"on_fit_start": path}}
    with pytest.raises(UsageError, match=r"on_fit_start is update_bn.*--trust-recipe"):
        parsed({"trainer": {"callbacks": [callback]}})


@pytest.mark.parametrize(
    "recipe",
    [
        {"model": {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}}},
        {"model": {"lr_scheduler": {"class_path": "StepLR", "init_args": {"step_size": 3}}}},
        {
            "model": {
                "lr_scheduler": {
                    "class_path": "lightning.pytorch.cli.ReduceLROnPlateau",
                    "init_args": {"monitor": "val/loss"},
                }
            }
        },
        {
            "trainer": {
                "callbacks": [{"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss"}}]
            }
        },
        {"trainer": {"logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "logs"}}}},
        {"trainer": {"strategy": {"class_path": "radenhance.strategies.EncoderDecoderStrategy"}}},
        {"trainer": {"strategy": {"class_path": "FullyShardedStrategy"}}},
        {"trainer": {"callbacks": [{"class_path": "MemoryProfiler"}]}},
        {"trainer": {"profiler": {"class_path": "lightning.pytorch.profilers.SimpleProfiler"}}},
        {"trainer": {"plugins": [{"class_path": "TorchCheckpointIO"}]}},
    ],
    ids=str,
)
def test_classes_of_torch_lightning_and_ours_need_no_trust(recipe):
    assert parsed(recipe).settings


def test_a_trusted_recipe_names_classes_of_anyone_but_no_command():
    Path("my_module.py").write_text(
        "import torch\nclass Mine(torch.optim.SGD):\n    pass\ndef half(epoch):\n    return 0.5\n"
    )
    recipe = {
        "model": {
            "optimizer": {"class_path": "my_module.Mine"},
            "lr_scheduler": {
                "class_path": "LambdaLR",
                "init_args": {"lr_lambda": "my_module.half"},
            },
        }
    }
    Path("mine.yaml").write_text(yaml.safe_dump(recipe))
    code = (
        "from radenhance.flags.parser import parse_flags\n"
        "from radenhance.errors import UsageError\n"
        f"flags = parse_flags('fit', ['--config=mine.yaml', {TRUST!r}])\n"
        "print(flags.settings.model.optimizer.class_path, flags.typed)\n"
        "try:\n"
        f"    parse_flags('fit', ['--model.optimizer=os.system', {TRUST!r}])\n"
        "except UsageError:\n"
        "    print('no command')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path().resolve()}"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == [
        "my_module.Mine", "('--config=mine.yaml',", "'--trust-recipe')", "no", "command",
    ], result.stderr  # fmt: skip


def test_a_recipe_cannot_trust_itself():
    for name in ("trust_recipe", "trust-recipe", TRUST):
        with pytest.raises(UsageError, match="not accept"):
            parsed({name: True})
