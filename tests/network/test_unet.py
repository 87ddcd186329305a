import pytest
import torch

from radenhance.errors import ImageSizeError, UsageError
from radenhance.network.unet import build_unet, is_known_encoder, pad_to_stride, shapes_of


def test_one_channel_goes_in_and_comes_out_at_the_same_size():
    image = torch.zeros(2, 1, 64, 96)
    assert build_unet("resnet18").eval()(image).shape == image.shape


@pytest.mark.parametrize(
    "encoder", ["efficientnet-b0", "timm-efficientnet-b0", "timm-tf_efficientnet_lite0"]
)
def test_what_an_encoder_never_runs_is_not_trained(encoder):
    unet = build_unet(encoder).eval()
    unet(torch.rand(1, 1, 64, 64)).sum().backward()
    weights = dict(unet.named_parameters())
    frozen = {name for name, weight in weights.items() if not weight.requires_grad}
    assert frozen == {name for name, weight in weights.items() if weight.grad is None}
    assert len(frozen) == 3


def test_padding_reflects_below_and_right_up_to_a_multiple_of_32():
    image = torch.arange(33.0 * 64).reshape(1, 1, 33, 64)
    padded = pad_to_stride(image)
    assert padded.shape == (1, 1, 64, 64)
    assert torch.equal(padded[..., :33, :], image)
    assert torch.equal(padded[..., 33, :], image[..., 31, :])
    assert pad_to_stride(padded) is padded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "resnet35"}, "ContrastEnhancer.encoder is 'resnet35', expected an encoder"),
        ({"encoder_weights": "nowhere/encoder.pt"}, "nowhere/encoder.pt: no such file"),
        ({"encoder_weights": "no-such-set"}, "no-such-set is not available for resnet34"),
    ],
)
def test_what_is_not_there_is_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        build_unet(**arguments)


def test_download_without_a_network_ends_in_a_hint(monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", refuse)
    with pytest.raises(UsageError, match="without a network, give the path of a state dict"):
        build_unet("resnet18", encoder_weights="imagenet")


def test_an_image_too_small_to_reflect_is_refused():
    with pytest.raises(ImageSizeError, match="at least 32 pixels a side, got 5 rows"):
        pad_to_stride(torch.zeros(1, 1, 5, 64))


@pytest.mark.parametrize("name", ["resnet18", "tu-resnet18", "tu-mobilenetv3_small_050.lamb_in1k"])
def test_encoders_that_the_libraries_hold_are_known(name):
    assert is_known_encoder(name)


@pytest.mark.parametrize(
    "name",
    [
        "resnet35",
        "imagenet",
        "tu-hf-hub:owner/name",
        "tu-hf_hub:owner/name",
        "tu-local-dir:/tmp",
        "tu-https://example.com/resnet18",
        "tu-resnet18.a:b",
        "tu-../resnet18",
        "tu-resnet18\n",
        "tu-",
        "",
        None,
        ["resnet18"],
    ],
)
def test_what_would_be_fetched_is_no_known_encoder(name):
    assert not is_known_encoder(name)


def test_shapes_are_those_of_the_network_without_its_memory():
    unet = build_unet("resnet18")
    expected = {f"unet.{name}": tensor.shape for name, tensor in unet.state_dict().items()}
    assert shapes_of("resnet18") == expected


def test_an_encoder_that_computes_while_it_is_built_has_no_shapes_beforehand():
    assert shapes_of("mit_b0") is None
