"""What a checkpoint holds, whatever version wrote it; and what is said of a file that is none."""

import argparse
from pathlib import Path

import pytest
import torch
from old_checkpoints import RECIPES, write_old_checkpoint
from small_checkpoint import ENCODER, small_content

from radenhance.checkpoint import OF_DATA, Checkpoint, WholeFileCheckpointIO
from radenhance.cli import main
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import RadenhanceError, UsageError
from radenhance.memory.techniques import MemoryTechniques

TECHNIQUES = {
    "original": MemoryTechniques(),
    "mom": MemoryTechniques(momentum=0.9),
    "quant": MemoryTechniques(quantization="qat"),
}


@pytest.fixture
def quiet_flags(tiny_dataset):
    return [
        f"--data.root={tiny_dataset}",
        "--data.num_workers=0",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_old_checkpoint_gives_the_network_that_it_was(recipe):
    weights = write_old_checkpoint(recipe, "old.ckpt")
    checkpoint = Checkpoint.open(Path("old.ckpt"))
    assert checkpoint.encoder == "resnet18"
    assert checkpoint.memory == TECHNIQUES[recipe]
    assert checkpoint.input == {
        "image_size": 64,
        "intensity_range": "auto",
        "outside_field": "keep",
        "predict_at": "auto",
    }
    assert checkpoint.output == "image"
    assert checkpoint.optimizer == "Adam"
    module = ContrastEnhancer.from_checkpoint(checkpoint)
    assert module.num_scales == "auto"
    assert module.state_dict().keys() == weights.keys()
    assert all(torch.equal(module.state_dict()[name], weights[name]) for name in weights)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fit_goes_on_from_an_old_checkpoint(recipe, quiet_flags):
    write_old_checkpoint(recipe, "old.ckpt")
    more = ["--ckpt_path=old.ckpt", "--trainer.max_epochs=3", "--data.batch_size=2"]
    assert main(["fit", *quiet_flags, *more]) == 0
    made = Checkpoint.open(Path("lightning_logs/fit_64_0/checkpoints/last.ckpt"))
    assert made.content["global_step"] == 9
    assert made.flags == Checkpoint.open(Path("old.ckpt")).flags
    assert made.content["state_dict"].keys() == torch.load("old.ckpt")["state_dict"].keys()


def test_an_old_checkpoint_validates_and_predicts(quiet_flags, tiny_dataset, capsys):
    write_old_checkpoint("mom", "old.ckpt")
    assert main(["validate", *quiet_flags, "--ckpt_path=old.ckpt"]) == 0
    assert "val/ms_ssim" in capsys.readouterr().out
    predict = [f"--data.predict_from={tiny_dataset / 'raw'}", "--ckpt_path=old.ckpt"]
    assert main(["predict", *quiet_flags, *predict]) == 0
    assert len(list(Path("enhanced").iterdir())) == 8


def test_a_checkpoint_from_before_quantization_was_not_quantized():
    write_old_checkpoint("original", "old.ckpt")
    content = torch.load("old.ckpt")
    del content["hyper_parameters"]["quantization"]
    torch.save(content, "older.ckpt")
    assert Checkpoint.open(Path("older.ckpt")).memory == MemoryTechniques()


def test_new_checkpoints_hold_nine_settings_and_nothing_of_the_command_line(tiny_flags):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    content = torch.load("lightning_logs/fit_64_0/checkpoints/last.ckpt")
    of_model, of_data = content["hyper_parameters"], content["datamodule_hyper_parameters"]
    assert of_model.keys() == {"encoder", "num_scales", "output", "momentum", "quantization"}
    assert of_data.keys() == {"image_size", "intensity_range", "outside_field", "predict_at"}
    assert of_data["outside_field"] == "keep", "what was found, not that it is looked for"


@pytest.fixture
def with_coarse(tiny_flags):
    """Flags and checkpoint of a fit with a coarse correction, whose own file is gone."""
    content = small_content()
    content["hyper_parameters"]["output"] = "correction"
    content["datamodule_hyper_parameters"]["image_size"] = 32
    torch.save(content, "reduced.ckpt")
    used = ["--model.output=correction", "--model.coarse=reduced.ckpt"]
    assert main(["fit", *tiny_flags, *used, "--trainer.max_epochs=1"]) == 0
    Path("reduced.ckpt").unlink()
    path = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")
    torch.save(torch.load(path), "last.ckpt")
    return tiny_flags, content["state_dict"]


def test_a_checkpoint_holds_the_coarse_correction_and_needs_its_file_no_more(with_coarse):
    flags, reduced = with_coarse
    checkpoint = Checkpoint.open(Path("last.ckpt"))
    assert checkpoint.coarse == {"encoder": ENCODER, "image_size": 32}
    module = ContrastEnhancer.from_checkpoint(checkpoint)
    state = module.coarse.state_dict()
    assert all(torch.equal(state[name], weights) for name, weights in reduced.items())
    assert main(["validate", *flags, "--ckpt_path=last.ckpt"]) == 0
    assert main(["fit", *flags, "--ckpt_path=last.ckpt", "--trainer.max_epochs=2"]) == 0
    made = Checkpoint.open(Path("lightning_logs/fit_64_1/checkpoints/last.ckpt"))
    assert made.content["global_step"] == 6
    assert made.coarse == checkpoint.coarse


def test_a_run_goes_on_with_the_coarse_correction_that_it_had(with_coarse, capsys):
    flags, _ = with_coarse
    small = small_content()
    small["hyper_parameters"]["output"] = "correction"
    torch.save(small, "other.ckpt")
    more = ["--ckpt_path=last.ckpt", "--model.coarse=other.ckpt", "--trainer.max_epochs=2"]
    assert main(["fit", *flags, *more]) == 2
    assert "made with another --model.coarse" in capsys.readouterr().err


def test_training_that_starts_from_it_has_its_coarse_correction_too(with_coarse):
    path = Path("last.ckpt")
    started = ContrastEnhancer(ENCODER, num_scales="auto", output="correction", weights=path)
    state = Checkpoint.open(path).content["state_dict"]
    assert state.keys() == started.state_dict().keys()
    assert all(torch.equal(started.state_dict()[name], one) for name, one in state.items())
    with pytest.raises(UsageError, match=r"weights last\.ckpt was trained with .*not image"):
        ContrastEnhancer(ENCODER, num_scales="auto", weights=path)


@pytest.mark.parametrize("size", ["64", "native"])
def test_crops_are_refused_where_a_coarse_correction_has_to_see_whole_images(
    with_coarse, capsys, size
):
    flags, _ = with_coarse
    crops = [f"--data.image_size={size}", "--data.crop_size=32", "--ckpt_path=last.ckpt"]
    assert main(["fit", *flags, *crops]) == 2
    assert f"--data.crop_size 32 of image_size {size} gives it parts" in capsys.readouterr().err


@pytest.mark.parametrize(
    "coarse",
    [
        3,
        {},
        {"encoder": "tu-hf-hub:a/b", "image_size": 64},
        {"encoder": ENCODER, "image_size": 0},
        {"encoder": ENCODER, "image_size": "64"},
        {"encoder": ENCODER, "image_size": 64, "more": 1},
        {"encoder": ENCODER, "image_size": 64},
    ],
)
def test_a_coarse_correction_that_cannot_be_is_refused(coarse):
    content = small_content()
    content["hyper_parameters"]["coarse"] = coarse
    saved(content)
    with pytest.raises(UsageError, match=r"checkpoint of radenhance: its (model.coarse|w)"):
        Checkpoint.open(Path("x.ckpt"))


def test_ranges_are_left_out_for_a_float_network_and_filled_in_for_a_quantized_one():
    quantized = write_old_checkpoint("quant", "quant.ckpt")
    plain = write_old_checkpoint("original", "original.ckpt")
    module = ContrastEnhancer.from_checkpoint(
        Checkpoint.open(Path("quant.ckpt")), memory=MemoryTechniques()
    )
    assert module.state_dict().keys() == plain.keys()
    own = dict(quantized)
    own["unet.ranges.stem_0.bounds"] = torch.tensor([1.0, 2.0])
    state = Checkpoint.open(Path("original.ckpt")).state_for(own, "resnet18")
    assert state.keys() == own.keys()
    assert state["unet.ranges.stem_0.bounds"].tolist() == [1, 2]


def test_another_network_is_refused_by_the_name_of_its_encoder():
    write_old_checkpoint("original", "old.ckpt")
    own = ContrastEnhancer("resnet34").state_dict()
    with pytest.raises(UsageError, match="made with ContrastEnhancer.encoder resnet18 and"):
        Checkpoint.open(Path("old.ckpt")).state_for(own, "resnet34")


def saved(content):
    torch.save(content, "x.ckpt")
    return Path("x.ckpt").read_bytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda: b"hello", "is not a checkpoint, or only a part of one"),
        (lambda: b"", "is not a checkpoint, or only a part of one"),
        (lambda: saved({"a": 1})[:300], "is not a checkpoint, or only a part of one"),
        (lambda: saved({"a": argparse.Namespace()}), "holds more than weights and settings"),
        (lambda: saved([1]), "it holds no settings"),
        (lambda: saved({"state_dict": {}}), "it lacks model.encoder, model.num_scales"),
        (lambda: saved({"hyper_parameters": 3}), "it lacks model.encoder"),
        (lambda: saved({"a": 1}).replace(b"data.pkl", b"atad.pkl"), "is damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_in_a_sentence(content, expected):
    Path("x.ckpt").write_bytes(content())
    with pytest.raises(UsageError, match=expected) as raised:
        Checkpoint.open(Path("x.ckpt"))
    assert str(raised.value).startswith("x.ckpt ")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("path", ["gone", "."])
def test_what_is_no_file_is_said(path):
    with pytest.raises(UsageError, match="is no file; give a file that `radenhance fit` wrote"):
        Checkpoint.open(Path(path))


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(monkeypatch):
    io = WholeFileCheckpointIO()
    io.save_checkpoint({"a": 1}, Path("folder/x.ckpt"))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RadenhanceError, match="its disk or quota is full"):
        io.save_checkpoint({"a": 2}, Path("folder/x.ckpt"))
    assert torch.load("folder/x.ckpt") == {"a": 1}
    assert len(list(Path("folder").iterdir())) == 1


HOSTILE = {
    "encoder": ["tu-hf-hub:a/b", "http://a/b", "imagenet", 3, None, "resnet18\n", ["resnet18"]],
    "num_scales": [0, 6, True, "5", 2.0, None, torch.ones(2)],
    "momentum": [0, 1, 0.0, 1.0, float("nan"), "0.9", True],
    "quantization": ["int8", None, True, torch.ones(2)],
    "image_size": [0, -1, 10**9, True, "512", 64.0, None],
    "intensity_range": ["AUTO", None, [0, 1], {}],
    "output": ["IMAGE", None, 1],
    "outside_field": ["auto", None, True],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_setting_that_radenhance_cannot_have_is_refused_by_its_name(name):
    for value in HOSTILE[name]:
        content = small_content()
        key = "hyper_parameters" if name in content["hyper_parameters"] else OF_DATA
        content[key] = content[key] | {name: value}
        saved(content)
        with pytest.raises(UsageError, match=name if value != "resnet18\n" else "x.ckpt") as raised:
            Checkpoint.open(Path("x.ckpt"))
        assert len(str(raised.value).splitlines()) == 1


FOLD = {"num_folds": 5, "fold": 2, "fold_seed": 0, "patients": "0" * 64}


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_folds": 1},
        {"fold": 0},
        {"fold": 6},
        {"fold": "2"},
        {"fold_seed": 1.5},
        {"num_folds": True},
        {"patients": "of a clinic"},
        {"patients": None},
        {"more": 1},
    ],
)
def test_a_fold_that_is_none_is_refused(wrong):
    saved(small_content() | {"RadiographDataModule": {"fold": FOLD}})
    assert Checkpoint.open(Path("x.ckpt")).fold == FOLD
    saved(small_content() | {"RadiographDataModule": {"fold": FOLD | wrong}})
    with pytest.raises(UsageError, match="x.ckpt is not a checkpoint of radenhance: its fold is"):
        Checkpoint.open(Path("x.ckpt"))


def test_what_other_loaders_would_call_or_fetch_is_not_looked_at():
    content = small_content()
    call = {"class_path": "os.system", "init_args": {"command": "touch harm"}}
    content["hyper_parameters"] |= {
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
        "_class_path": "os.system",
        "encoder_weights": "imagenet",
        "optimizer": call,
        "memory": call,
    }
    saved(content)
    module = ContrastEnhancer.from_checkpoint(Checkpoint.open(Path("x.ckpt")))
    assert all(torch.equal(module.state_dict()[n], w) for n, w in content["state_dict"].items())
    assert not Path("harm").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value):
    content = small_content()
    name = "unet.segmentation_head.0.bias"
    content["state_dict"][name] = torch.tensor([value])
    saved(content)
    with pytest.raises(UsageError, match=f"infinite or not a number .{name}.; give a checkpoint"):
        Checkpoint.open(Path("x.ckpt"))
    saved(small_content() | {"optimizer_states": [{"state": {0: torch.tensor(float("nan"))}}]})
    with pytest.raises(UsageError, match="infinite or not a number"):
        Checkpoint.open(Path("x.ckpt"))


@pytest.mark.parametrize("wrong", [torch.zeros(2), "x", None, {}])
def test_weights_of_another_shape_are_refused_before_a_network_is_made(wrong, monkeypatch):
    content = small_content()
    content["state_dict"]["unet.segmentation_head.0.bias"] = wrong
    saved(content)
    monkeypatch.setattr("radenhance.enhancer.build_unet", None)
    with pytest.raises(UsageError, match="is not a checkpoint of radenhance: "):
        Checkpoint.open(Path("x.ckpt"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pytorch-lightning_version", "0.9.0"),
        ("pytorch-lightning_version", None),
        ("pytorch-lightning_version", "x"),
        ("optimizer_name", "os.system"),
        ("optimizer_name", 3),
    ],
)
def test_names_and_versions_that_are_none_are_refused(name, value):
    saved(small_content() | {name: value})
    with pytest.raises(UsageError, match="is not a checkpoint of radenhance: "):
        Checkpoint.open(Path("x.ckpt"))


def test_lightning_restores_what_was_checked():
    torch.save(small_content(), "good.ckpt")
    restored = WholeFileCheckpointIO().load_checkpoint("good.ckpt", weights_only=False)
    assert restored["state_dict"].keys() == small_content()["state_dict"].keys()
    data = bytearray(Path("good.ckpt").read_bytes())
    data[len(data) // 2] ^= 1
    Path("bad.ckpt").write_bytes(data)
    with pytest.raises(UsageError, match=r"bad\.ckpt is damaged"):
        WholeFileCheckpointIO().load_checkpoint("bad.ckpt", weights_only=False)


COMMANDS = {
    command: [command, "--ckpt_path=x.ckpt"]
    for command in ("fit", "validate", "test", "predict", "plan", "quantize", "showcase")
} | {"evaluate": ["evaluate", "x.ckpt", "."]}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_checkpoint_that_names_what_would_be_fetched(command, capsys):
    content = small_content()
    content["hyper_parameters"] |= {"encoder": "tu-hf-hub:owner/name"}
    saved(content)
    assert main(COMMANDS[command]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("radenhance: x.ckpt is not a checkpoint of radenhance: its model.enc")


def test_weights_of_the_last_step_beside_averages_are_numbers_too(tmp_path):
    weights = {"a": torch.full((2,), float("nan"))}
    torch.save(small_content() | {"current_model_state": weights}, tmp_path / "bad.ckpt")
    with pytest.raises(UsageError, match="holds numbers that are infinite or not a number"):
        Checkpoint.open(tmp_path / "bad.ckpt")
