from functools import partial
from pathlib import Path

import pytest
import resume_matrix
import torch
from lightning.pytorch import Callback, Trainer
from small_checkpoint import ENCODER, small_coarse_content, small_content
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from radenhance.dataset.field import OPAQUE
from radenhance.enhancer import ContrastEnhancer, measure
from radenhance.errors import DivergedError, UsageError
from radenhance.loss.streamed import streamed_loss
from radenhance.memory.techniques import MemoryTechniques


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ContrastEnhancer("resnet18", num_scales="auto")


@pytest.mark.parametrize("shape", [(64, 64), (65, 97), (33, 40)])
def test_output_has_the_size_of_the_input_whatever_it_is(model, shape):
    raw = torch.rand(1, 1, *shape)
    assert model.eval()(raw).shape == raw.shape


def test_padding_is_reflected_and_cropped_off_again(model):
    raw = torch.rand(1, 1, 70, 81)
    padded = torch.nn.functional.pad(raw, (0, 15, 0, 26), mode="reflect")
    with torch.no_grad():
        expected = model.unet(padded)[..., :70, :81]
        torch.testing.assert_close(model(raw), expected, atol=1e-5, rtol=0)


def test_predictions_are_clipped_to_what_a_file_can_hold(model):
    with torch.no_grad():
        model.unet.segmentation_head[0].bias.fill_(3.0)
        predicted = model.eval().predict_step({"raw": torch.rand(1, 1, 64, 64)}, 0)
    assert predicted.max() == 1
    assert predicted.min() >= 0


@pytest.mark.parametrize("shape", [(64, 64), (65, 97)])
def test_a_correction_begins_at_the_raw_image_and_learns_from_there(shape):
    model = ContrastEnhancer("resnet18", num_scales="auto", output="correction", l1_share=0.16)
    raw, target = torch.rand(2, 2, 1, *shape)
    assert torch.equal(model.eval()(raw), raw)
    streamed_loss(model.train()(raw), target, num_scales="auto").backward()
    assert model.unet.segmentation_head[0].weight.grad.norm() > 0


@pytest.fixture
def reduced():
    """The file of a network for images of 64 pixels, away from its start."""
    content = small_content()
    content["hyper_parameters"]["output"] = "correction"
    torch.save(content, "reduced.ckpt")
    return Path("reduced.ckpt")


def test_a_network_begins_with_the_coarse_correction_and_the_weights_that_made_it(reduced):
    model = ContrastEnhancer(ENCODER, num_scales="auto", output="correction", coarse=reduced)
    raw, target = torch.rand(2, 1, 1, 100, 130)
    content = torch.load(reduced)["state_dict"]
    head = [name for name in content if "segmentation_head" in name]
    assert not any(model.state_dict()[name].any() for name in head)
    same = content.keys() - set(head)
    assert all(torch.equal(model.state_dict()[name], content[name]) for name in same)
    expected = raw + model.coarse(raw)
    assert (expected - raw).abs().max() > 0.01
    assert torch.equal(model.eval()(raw), expected)
    streamed_loss(model.train()(raw), target, num_scales="auto").backward()
    (group,) = model.configure_optimizers()["optimizer"].param_groups
    assert all(p.requires_grad for p in group["params"])
    assert len(group["params"]) == len(list(model.unet.parameters()))


def test_a_network_of_another_encoder_begins_with_the_coarse_correction_alone(reduced):
    model = ContrastEnhancer("resnet18", output="correction", coarse=reduced).eval()
    raw = torch.rand(1, 1, 100, 130)
    assert torch.equal(model(raw), raw + model.coarse(raw))


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("hyper_parameters", "output", "image"),
        ("hyper_parameters", "momentum", 0.9),
        ("datamodule_hyper_parameters", "image_size", "native"),
    ],
)
def test_a_network_that_gives_no_coarse_correction_is_refused(reduced, group, name, value):
    content = torch.load(reduced)
    content[group][name] = value
    torch.save(content, reduced)
    with pytest.raises(UsageError, match=rf"ContrastEnhancer.coarse is .*{name}.*{value}"):
        ContrastEnhancer(ENCODER, output="correction", coarse=reduced)


def test_a_coarse_correction_is_none_of_a_network_that_gives_images(reduced):
    with pytest.raises(UsageError, match=r"ContrastEnhancer.output is 'image', expected correct"):
        ContrastEnhancer(ENCODER, coarse=reduced)


@pytest.mark.parametrize("output", ["image", "correction"])
def test_what_is_outside_the_field_is_black_whatever_the_network_gives(output):
    model = ContrastEnhancer("resnet18", output=output).eval()
    torch.nn.init.constant_(model.unet.segmentation_head[0].bias, 0.3)
    raw = torch.rand(1, 1, 64, 64)
    field = torch.full((1, 1, 64, 64), OPAQUE, dtype=torch.uint8)
    field[..., :20], field[..., 20] = 0, OPAQUE // 5
    whole, inside = model(raw), model(raw, field)
    assert not inside[..., :20].any()
    assert torch.allclose(inside[..., 20], whole[..., 20] / 5)
    assert torch.equal(inside[..., 21:], whole[..., 21:] * OPAQUE / OPAQUE)


@pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
def test_a_share_of_the_absolute_error_outside_its_range_is_refused(share):
    with pytest.raises(UsageError, match=r"ContrastEnhancer.l1_share is .*, expected a number in"):
        ContrastEnhancer("resnet18", l1_share=share)


def test_measures_of_equal_images_are_perfect():
    image = torch.rand(2, 1, 64, 64)
    perfect = measure(image, image, num_scales="auto")
    assert perfect["loss"] == pytest.approx([0, 0], abs=1e-4)
    assert perfect["ms_ssim"] == pytest.approx([1, 1], abs=1e-6)
    assert perfect["ssim"] == pytest.approx([1, 1], abs=1e-6)
    assert perfect["mae"].tolist() == [0, 0]


def test_measures_of_a_known_error():
    target = torch.full((2, 1, 64, 64), 0.5)
    enhanced = target + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1)
    measures = measure(enhanced, target, num_scales="auto")
    assert measures["mae"] == pytest.approx([0.1, 0.01], rel=1e-4)
    assert measures["psnr"] == pytest.approx([20, 40], rel=1e-4)


def test_the_loss_that_is_measured_is_the_one_that_trains():
    enhanced, target = torch.rand(2, 3, 1, 64, 64)
    options = {"num_scales": "auto", "l1_share": 0.16}
    measured = measure(enhanced, target, **options)["loss"].mean()
    assert measured.item() == pytest.approx(streamed_loss(enhanced, target, **options).item(), 1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"warmup_steps": -1}, "warmup_steps is -1, expected 0 or more"),
        ({"frozen_encoder_epochs": -1}, "frozen_encoder_epochs is -1, expected 0 or more"),
        (
            {"warmup_steps": 9, "lr_scheduler": torch.optim.lr_scheduler.ConstantLR},
            "warmup_steps is part of the default schedule; leave it out",
        ),
        (
            {"extend": "rewarm", "lr_scheduler": torch.optim.lr_scheduler.ConstantLR},
            "extend is part of the default schedule; leave it out",
        ),
    ],
)
def test_numbers_of_steps_and_epochs_that_cannot_be_are_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        ContrastEnhancer("resnet18", **arguments)


class Encoder(Callback):
    """The encoder, and the decoder, after each epoch."""

    def __init__(self):
        self.states = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.states.append({name: one.clone() for name, one in pl_module.unet.state_dict().items()})


@pytest.mark.parametrize(
    "techniques",
    [
        {},
        {"checkpointing": "unit", "band_rows": 16},
        {"momentum": 0.9, "checkpointing": "stage"},
        {"quantization": "qat"},
    ],
)
def test_a_frozen_encoder_stays_as_it_is_and_learns_afterwards(techniques):
    torch.manual_seed(0)
    memory = MemoryTechniques(**techniques)
    model = ContrastEnhancer("resnet18", num_scales="auto", frozen_encoder_epochs=1, memory=memory)
    seen = Encoder()
    seen.on_train_epoch_end(None, model)
    fit(model, images(), max_epochs=2, callbacks=[seen])
    before, frozen, after = seen.states
    encoder = {name for name in before if name.startswith("encoder.")}
    assert {name for name in encoder if not torch.equal(before[name], frozen[name])} == set()
    for name in encoder | {"segmentation_head.0.weight", "decoder.blocks.0.conv1.0.weight"}:
        changes = (frozen, after) if name in encoder else (before, frozen)
        assert not torch.equal(changes[0][name], changes[1][name]), name


def test_training_starts_from_the_weights_of_an_earlier_fit(tmp_path):
    content = small_content()
    torch.save(content, tmp_path / "earlier.ckpt")
    started = ContrastEnhancer(ENCODER, weights=tmp_path / "earlier.ckpt", num_scales=3)
    for name, tensor in content["state_dict"].items():
        assert torch.equal(started.state_dict()[name], tensor), name


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(small_content(), tmp_path / "earlier.ckpt")
    with pytest.raises(UsageError, match="does not fit resnet18"):
        ContrastEnhancer("resnet18", weights=tmp_path / "earlier.ckpt")
    with pytest.raises(UsageError, match=r"output image, not correction; choose the same"):
        ContrastEnhancer(ENCODER, weights=tmp_path / "earlier.ckpt", output="correction")
    with pytest.raises(UsageError, match=f"is of encoder {ENCODER}, of which 0 weights fit resn"):
        ContrastEnhancer("resnet18", weights=tmp_path / "earlier.ckpt", weights_fit="encoder")
    with pytest.raises(UsageError, match="weights_fit is encoder, and there are no weights"):
        ContrastEnhancer(ENCODER, weights_fit="encoder")


def started_from(content, caplog, encoder=ENCODER, **options):
    """A network that starts from a checkpoint, and what a fit says of that."""
    torch.save(content, "earlier.ckpt")
    caplog.set_level("INFO", logger="lightning.pytorch.utilities.rank_zero")
    torch.manual_seed(7)
    model = ContrastEnhancer(encoder, weights=Path("earlier.ckpt"), **options)
    Trainer(accelerator="cpu", fast_dev_run=1, enable_progress_bar=False).fit(model, [])
    (said,) = [one for one in caplog.messages if "tensors of" in one]
    return model.state_dict(), said


@pytest.mark.parametrize("fit", ["encoder", "matching"])
@pytest.mark.parametrize("output", ["image", "correction"])
def test_a_part_of_the_weights_is_taken_and_what_is_not_is_said(fit, output, caplog):
    content = small_content()
    theirs = content["state_dict"]
    started, said = started_from(content, caplog, weights_fit=fit, output=output)
    new = {name.split(".")[1] for name in theirs if not torch.equal(started[name], theirs[name])}
    expected = {"decoder", "segmentation_head"} if fit == "encoder" else set()
    assert new == expected | ({"segmentation_head"} if output == "correction" else set())
    listed = ", ".join(sorted(new))
    ends = f"; new in this network: {listed}; left out: {listed}." if new else " are taken."
    assert said.endswith(ends)


def test_names_of_weights_that_do_not_fit_are_listed(caplog):
    content = small_content()
    name = "unet.decoder.blocks.4.conv2.0.weight"
    content["state_dict"]["unet.decoder.more"] = torch.zeros(1)
    with pytest.raises(UsageError, match="its weights are not those of its encoder"):
        started_from(content, caplog, weights_fit="matching")
    started, said = started_from(
        small_content(), caplog, "tu-mobilenetv3_small_075", weights_fit="matching"
    )
    assert torch.equal(started[name], small_content()["state_dict"][name])
    assert "108 are taken; new in this network: decoder.blocks.0.conv1.0, " in said
    assert "encoder.model.blocks.0.0." in said
    assert said.endswith(" more.")


@pytest.mark.parametrize(
    ("technique", "before", "now"), [("quantization", "qat", "none"), ("momentum", 0.9, None)]
)
def test_that_weights_are_averages_or_of_another_technique_is_said(technique, before, now, caplog):
    content = small_content() | {"current_model_state": {}}
    content["hyper_parameters"] |= {technique: before}
    content["state_dict"]["unet.ranges.0.range"] = torch.ones(2)
    started, said = started_from(content, caplog)
    for name, tensor in small_content()["state_dict"].items():
        assert torch.equal(started[name], tensor), name
    assert "left out: ranges; they are averages; they were trained with" in said
    assert f"{technique} {before}, and compute something else with {now}." in said


def test_a_run_does_not_go_on_with_other_weights_of_its_coarse_network():
    content = small_coarse_content()
    torch.save(content, "coarse.ckpt")
    model = ContrastEnhancer(ENCODER, output="correction", coarse=Path("coarse.ckpt"))
    name = "coarse.unet.segmentation_head.0.bias"
    content["state_dict"][name] = content["state_dict"][name] + 1
    model.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(UsageError, match=r"other weights of ContrastEnhancer\.coarse; leave that"):
        model.on_load_checkpoint(content)


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_goes_on_at_a_rate_of_zero_says_so(tmp_path, monkeypatch):
    cosine = {"lr_scheduler": partial(CosineAnnealingLR, T_max=resume_matrix.EPOCHS)}
    monkeypatch.setitem(resume_matrix.SCHEDULES, "cosine", cosine)
    case = resume_matrix.Case("kill", "in a window", "cosine", "1", "every epoch", "none")
    resume_matrix.make_data(tmp_path / "data")
    resume_matrix.fit(case, tmp_path, tmp_path / "data", is_resumed=False)
    monkeypatch.setattr(resume_matrix, "EPOCHS", resume_matrix.EPOCHS + 1)
    with pytest.warns(UserWarning, match="rate is 0 where the run goes on, as CosineAnnealingLR"):
        resume_matrix.fit(case, tmp_path, tmp_path / "data", is_resumed=True)


class Waiting(Callback):
    """How many gradients there are when each step begins."""

    def __init__(self):
        self.counts = []

    def on_train_batch_start(self, trainer, pl_module, *_):
        self.counts.append(sum(p.grad is not None for p in pl_module.parameters()))


@pytest.mark.parametrize(
    ("accumulates", "waits"), [(1, [False, False, False]), (2, [False, True, False])]
)
def test_gradients_wait_for_the_next_step_only_while_they_accumulate(model, accumulates, waits):
    image = {"raw": torch.rand(1, 64, 64), "target": torch.rand(1, 64, 64), "case": "a"}
    waiting = Waiting()
    Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=accumulates,
        callbacks=[waiting],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, DataLoader([image] * 3))
    assert [bool(count) for count in waiting.counts] == waits


def images(value=None, num=2):
    """Samples as a dataset gives them; of random values, or of one value."""
    image = torch.rand(1, 64, 64) if value is None else torch.full((1, 64, 64), value)
    return [{"raw": image, "target": torch.rand(1, 64, 64), "case": f"case{i}"} for i in range(num)]


def fit(model, train, validation=None, **settings):
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, **settings},
    )
    trainer.fit(model, DataLoader(train), DataLoader(validation) if validation else None)
    return trainer


def test_a_loss_that_is_no_number_stops_before_it_gets_into_the_weights(model):
    before = {name: weight.clone() for name, weight in model.unet.named_parameters()}
    with pytest.raises(DivergedError, match=r"loss became nan at step 0 on case0; "):
        fit(model, images(float("nan")))
    assert all(torch.equal(weight, before[name]) for name, weight in model.unet.named_parameters())


def test_a_gradient_that_is_no_number_stops_too(model):
    model.unet.segmentation_head[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(DivergedError, match="the gradient became (nan|inf) at step 0 on case0"):
        fit(model, images())


def test_the_raw_image_is_measured_once_a_fit_and_stays_the_baseline(model):
    trainer = fit(model, images(), images(), max_epochs=2)
    assert trainer.callback_metrics["identity/ms_ssim"] < 1
    assert {"val/loss", "val/psnr", "val/mae", "identity/loss"} <= trainer.callback_metrics.keys()


@pytest.mark.parametrize("patience", [0, 5])
def test_a_plateau_lowers_the_rate_in_the_epoch_in_which_it_is_seen(patience):
    def plateau(optimizer):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max", factor=0.5, patience=patience, threshold=1e9
        )

    model = ContrastEnhancer("resnet18", num_scales="auto", lr_scheduler=plateau)
    trainer = fit(model, images(), images(), max_epochs=2)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(5e-4 if patience == 0 else 1e-3)


def test_a_plateau_of_something_that_is_not_logged_names_what_is():
    def plateau(optimizer):
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        scheduler.monitor = "val/beauty"
        return scheduler

    model = ContrastEnhancer("resnet18", num_scales="auto", lr_scheduler=plateau)
    with pytest.raises(UsageError, match=r"val/beauty is not logged; use one of .*val/loss"):
        fit(model, images(), images())


def test_an_optimizer_that_cannot_be_made_is_said_with_its_reason():
    model = ContrastEnhancer(
        "resnet18", num_scales="auto", optimizer=lambda params: torch.optim.Adam(params, lr=-1)
    )
    with pytest.raises(UsageError, match="cannot be made: Invalid learning rate: -1"):
        fit(model, images())


def test_float32_is_multiplied_as_the_techniques_say(model):
    for tf32 in (True, False):
        model.memory = MemoryTechniques(tf32=tf32)
        model.setup("validate")
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == tf32
