import copy

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from radenhance.compat.torch import FakeTensorMode
from radenhance.memory.footprint import Footprint
from radenhance.memory.fused_upsampling import UpsampledConvolution
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Sequential, Stage, Unit, Upsampling
from radenhance.network.unet import build_unet

FUSED, PLAIN = MemoryTechniques(), MemoryTechniques(fused_upsampling=False)


class Enlarged:
    """The definition: upsampled, concatenated and convolved."""

    def __init__(self, convolution):
        self.convolution = convolution

    def __call__(self, features, skip=None):
        return self.convolution(Upsampling("nearest")(features, skip))


def results(kind, convolution, features, skip):
    """The map, and the gradients of features, weight, bias and skip."""
    convolution = copy.deepcopy(convolution).to(features.dtype)
    inputs = [t.clone().requires_grad_() for t in (features, skip) if t is not None]
    result = kind(convolution)(*inputs)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result).sin()
    wanted = [*inputs, *convolution.parameters()]
    return result.detach(), *torch.autograd.grad((weights * result).sum(), wanted)


def layer(*, skip=5, bias=False):
    torch.manual_seed(0)
    return nn.Conv2d(6 + skip, 4, 3, padding=1, bias=bias, dtype=torch.float64)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 1), (2, 2), (7, 4)])
@pytest.mark.parametrize("has_skip", [True, False])
def test_fused_is_upsampled_and_concatenated_to_1e_14_at_borders_too(size, has_skip):
    convolution = layer(skip=5 if has_skip else 0, bias=True)
    features = torch.randn(2, 6, *size).double()
    skip = torch.randn(2, 5, 2 * size[0], 2 * size[1]).double() if has_skip else None
    expected = results(Enlarged, convolution, features, skip)
    for ours, theirs in zip(
        results(UpsampledConvolution, convolution, features, skip), expected, strict=True
    ):
        assert (ours - theirs).abs().max() <= 1e-14 * theirs.abs().max()


def test_in_float32_fused_is_no_farther_from_float64_than_upsampled():
    distances = []
    for seed in range(2):
        torch.manual_seed(seed)
        unet, image = build_unet("resnet18"), torch.rand(1, 1, 64, 96)
        exact = step(unet.double(), PLAIN, image.double())
        distances.append(
            [(step(unet.float(), one, image) - exact).norm() for one in (FUSED, PLAIN)]
        )
    fused, plain = torch.tensor(distances).mean(dim=0)
    assert fused <= 1.05 * plain


def step(unet, techniques, image):
    """The output in float64, in training."""
    unet = copy.deepcopy(unet)
    with torch.no_grad():
        return techniques.run(unet, image).double()


def test_a_skip_without_channels_is_as_none():
    convolution, features = layer(skip=0), torch.randn(1, 6, 3, 2).double()
    fused = UpsampledConvolution(convolution)
    assert torch.equal(fused(features, features.new_empty(1, 0, 6, 4)), fused(features))


def fused_stages(techniques, stages):
    for technique in techniques.chosen:
        stages = technique.running(stages)
    return [
        stage.name
        for stage in stages
        for unit in stage.units
        if isinstance(unit.block, Sequential)
        and any(isinstance(part, UpsampledConvolution) for part in unit.block.parts)
    ]


def test_all_stages_of_the_decoder_are_fused_by_default_and_none_without_the_flag():
    unet = build_unet("resnet18")
    names = [f"decoder{i}" for i in range(5)]
    assert fused_stages(FUSED, FUSED.stages_of(unet)) == names
    assert fused_stages(PLAIN, PLAIN.stages_of(unet)) == []


@pytest.mark.parametrize("techniques", [{"quantization": "qat"}, {"band_rows": 4}])
def test_quantized_stages_and_bands_are_left_alone(techniques):
    chosen = MemoryTechniques(**techniques)
    assert fused_stages(chosen, chosen.stages_of(build_unet("resnet18"))) == []


class Sharded(nn.Sequential, FSDPModule):
    def __new__(cls, *parts):
        return object.__new__(cls)


class Scaled(nn.Conv2d):
    """A convolution that does more than its name says."""


@pytest.mark.parametrize(
    ("module", "mode"),
    [
        (nn.Sequential(layer()), "bilinear"),
        (nn.Sequential(nn.Conv2d(11, 4, 5, padding=2)), "nearest"),
        (nn.Sequential(nn.Conv2d(11, 4, 3)), "nearest"),
        (nn.Sequential(nn.Conv2d(11, 4, 3, padding=1, padding_mode="reflect")), "nearest"),
        (nn.Sequential(Scaled(11, 4, 3, padding=1)), "nearest"),
        (Scaled(11, 4, 3, padding=1), "nearest"),
        (Sharded(layer()), "nearest"),
    ],
)
def test_a_stage_that_is_something_else_stays_as_it_is(module, mode):
    stage = Stage("decoder0", (Unit(module, (module,), before=Upsampling(mode)),))
    assert fused_stages(FUSED, [stage]) == []
    nearest = Unit(nn.Sequential(layer()), (nn.Sequential(layer()),), before=Upsampling("nearest"))
    assert fused_stages(FUSED, [Stage("decoder0", (nearest,))]) == ["decoder0"]


def peak_bytes(techniques):
    with FakeTensorMode(), Footprint() as footprint:
        unet, image = build_unet("resnet18"), torch.rand(1, 1, 512, 512)
        techniques.run(unet, image).sum().backward()
    return footprint.peak_bytes


def test_a_step_keeps_neither_upsampled_maps_nor_concatenations():
    spared = peak_bytes(PLAIN) - peak_bytes(FUSED)
    values = 256**2 * 128 + 128**2 * 192 + 64**2 * 384 + 32**2 * 768 + 512**2 * 32
    assert spared >= 0.8 * 4 * values


def test_of_a_deep_stage_autograd_keeps_no_kernel_and_summing_it_takes_half_as_much_again():
    with FakeTensorMode(), Footprint() as footprint:
        convolution = nn.Conv2d(256, 128, 3, padding=1)
        before, kernel = footprint.live_bytes, 256 * 128 * 16 * 4
        result = UpsampledConvolution(convolution)(torch.rand(1, 256, 1, 1, requires_grad=True))
        assert footprint.live_bytes - before < 0.01 * kernel
        assert footprint.peak_bytes - before < 1.9 * kernel
        result.sum().backward()


def test_the_compiler_takes_a_fused_stage_whole():
    convolution = layer().float()
    features, skip = torch.randn(1, 6, 4, 4), torch.randn(1, 5, 8, 8)
    compiled = torch.compile(UpsampledConvolution(convolution), fullgraph=True, backend="eager")
    assert torch.equal(compiled(features, skip), UpsampledConvolution(convolution)(features, skip))
