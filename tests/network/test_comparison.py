"""A library whose forward pass is no longer that of the stages is noticed before training."""

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder, UnetDecoderBlock
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import UsageError
from radenhance.network import comparison
from radenhance.network.comparison import refuse_if_unequal
from radenhance.network.unet import build_unet

REFUSAL = r'encoder="resnet18"\) cannot be taken apart into stages: .* library in constraints.txt'


@pytest.fixture(autouse=True)
def _nothing_compared_yet(monkeypatch):
    monkeypatch.setattr(comparison, "_compared", set())


def align_corners(self, feature_map, target_height, target_width, skip_connection=None):
    size = (target_height, target_width)
    feature_map = F.interpolate(feature_map, size=size, mode="bilinear", align_corners=True)
    if skip_connection is not None:
        feature_map = torch.cat([feature_map, skip_connection], dim=1)
    return self.conv2(self.conv1(feature_map))


def test_a_decoder_that_upsamples_otherwise_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(UnetDecoderBlock, "forward", align_corners)
    with pytest.raises(UsageError, match=REFUSAL):
        build_unet("resnet18")


def test_an_output_of_another_size_is_refused_by_name(monkeypatch):
    own = UnetDecoder.forward
    monkeypatch.setattr(UnetDecoder, "forward", lambda self, maps: own(self, maps)[..., 1:])
    with pytest.raises(UsageError, match=REFUSAL):
        build_unet("resnet18")


def test_an_encoder_for_one_size_of_image_is_refused_with_its_reason(monkeypatch):
    def forward(self, image):
        assert image.shape[-1] == 224, "Input height (64) doesn't match model (224)"

    monkeypatch.setattr(smp.Unet, "forward", forward)
    with pytest.raises(UsageError, match=r"cannot run on 64 x 64 pixels \(.*doesn't match model"):
        build_unet("resnet18")


def test_an_architecture_is_compared_once(monkeypatch):
    build_unet("resnet18")
    monkeypatch.setattr(comparison, "run_stages", None)
    build_unet("resnet18")
    with pytest.raises(TypeError):
        build_unet("mobilenet_v2")


def test_buffers_modes_and_random_numbers_are_left_alone():
    unet = build_unet("resnet18")
    unet.encoder.layer1.eval()
    modes = [module.training for module in unet.modules()]
    state = {name: value.clone() for name, value in unet.state_dict().items()}
    random = torch.random.get_rng_state()
    refuse_if_unequal(unet, "resnet18")
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in unet.modules()] == modes
    assert all(torch.equal(unet.state_dict()[name], value) for name, value in state.items())
    assert all(parameter.grad is None for parameter in unet.parameters())


def test_networks_without_values_are_not_compared_and_do_not_stand_for_others():
    with FakeTensorMode():
        build_unet("resnet18")
    with torch.device("meta"):
        build_unet("resnet18")
    assert comparison._compared == set()
    build_unet("resnet18")
    assert comparison._compared == {"resnet18"}
