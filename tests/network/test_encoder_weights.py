"""Weights of classifiers of three channels become those of an encoder of one."""

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from radenhance.errors import UsageError
from radenhance.network.unet import build_unet


def resnet18():
    torch.manual_seed(1)
    return torchvision.models.resnet18(weights=None).eval()


def loaded(file, encoder="resnet18"):
    return build_unet(encoder, encoder_weights=str(file)).eval().encoder


def features_of(classifier, grey):
    """Return what a ResNet of torchvision gives before its pooling."""
    stages = list(classifier.children())[:-2]
    return torch.nn.Sequential(*stages)(grey.expand(-1, 3, -1, -1))


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "module.encoder.", "backbone."])
@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_the_encoder_gives_of_a_grey_image_what_the_classifier_does(tmp_path, prefix, nested):
    classifier, grey = resnet18(), torch.rand(1, 1, 64, 64)
    state = {f"{prefix}{name}": tensor for name, tensor in classifier.state_dict().items()}
    torch.save({nested: state, "epoch": 90} if nested else state, tmp_path / "weights.pth")
    ours = loaded(tmp_path / "weights.pth")(grey)[-1]
    assert torch.allclose(ours, features_of(classifier, grey), atol=1e-5)


@torch.no_grad()
def test_safetensors_of_timm_fit_an_encoder_of_timm(tmp_path):
    torch.manual_seed(1)
    name = "mobilenetv3_small_050"
    classifier, grey = timm.create_model(name).eval(), torch.rand(1, 1, 64, 64)
    save_file(classifier.state_dict(), tmp_path / "model.safetensors")
    encoder = loaded(tmp_path / "model.safetensors", f"tu-{name}")
    ours, theirs = encoder.model.conv_stem(grey), classifier.conv_stem(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.equal(
        encoder.state_dict()["model.blocks.0.0.conv_pw.weight"],
        classifier.state_dict()["blocks.0.0.conv_pw.weight"],
    )


def test_an_encoder_saved_by_itself_is_taken_as_it_is(tmp_path):
    encoder = build_unet("resnet18").encoder
    torch.save(encoder.state_dict(), tmp_path / "encoder.pt")
    again = loaded(tmp_path / "encoder.pt").state_dict()
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(again[name], tensor), name


def test_counts_of_batches_may_be_missing(tmp_path):
    state = resnet18().state_dict()
    kept = {name: one for name, one in state.items() if "num_batches_tracked" not in name}
    torch.save(kept, tmp_path / "old.pth")
    assert torch.equal(loaded(tmp_path / "old.pth").bn1.weight, state["bn1.weight"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda state: {}, "holds no weights"),
        (lambda state: [1, 2], "holds no weights"),
        (lambda state: {**state, "conv1.weight": state["conv1.weight"] * torch.nan}, "not finite"),
        (lambda state: {k: v for k, v in state.items() if k != "bn1.weight"}, "lacks bn1.weight"),
        (lambda state: {**state, "layer4.9.weight": torch.ones(1)}, r"has layer4\.9\.weight"),
        (lambda state: {**state, "bn1.weight": torch.ones(3)}, "another shape of bn1.weight"),
        (lambda state: torchvision.models.resnet34(weights=None).state_dict(), "another encoder"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, content, said):
    torch.save(content(resnet18().state_dict()), tmp_path / "weights.pth")
    with pytest.raises(UsageError, match=said):
        loaded(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["old.pth", "text.pth", "text.safetensors"])
def test_a_file_of_another_kind_is_refused_with_what_to_do(tmp_path, name):
    file = tmp_path / name
    if name == "old.pth":
        state = resnet18().state_dict()
        torch.save(state, file, _use_new_zipfile_serialization=False)
    else:
        file.write_text("no weights")
    with pytest.raises(UsageError, match=r"cannot be read; give a state dict .*NEW_FILE"):
        loaded(file)
