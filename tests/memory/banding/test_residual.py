"""A layer of residual blocks in bands of rows against the same blocks on whole maps."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models.resnet import BasicBlock

from radenhance.memory.banding.residual import BandedLayer, NormedConvolution, ResidualBlock
from radenhance.memory.footprint import Footprint

CHANNELS = 3


def blocks(stride, *, shortcut=False, dtype=torch.float64):
    torch.manual_seed(0)
    inputs = CHANNELS
    outputs = CHANNELS if stride == 1 and not shortcut else 5
    beside = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
    )
    first = BasicBlock(inputs, outputs, stride, None if inputs == outputs else beside)
    layer = nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(2)))
    if dtype != torch.float32:
        layer.to(dtype)
    with torch.no_grad():
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1)
    return layer


def banded(layer, band_rows=2, **options):
    parts = [
        ResidualBlock(
            NormedConvolution(block.conv1, block.bn1),
            NormedConvolution(block.conv2, block.bn2),
            NormedConvolution(*block.downsample) if block.downsample else None,
        )
        for block in layer
    ]
    return BandedLayer(tuple(parts), lambda shape: band_rows, layer, **options)


def gradients_and_buffers(output, features, layer):
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return [output.detach(), features.grad, *(p.grad for p in layer.parameters()), *layer.buffers()]


def assert_same(result, expected):
    assert len(result) == len(expected)
    for value, other in zip(result, expected, strict=True):
        assert (value is None) == (other is None)
        if value is not None:
            assert (value - other).double().norm() <= 1e-11 * other.double().norm()


@pytest.mark.parametrize("keeps_maps", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("band_rows", [2, 4, 100])
@pytest.mark.parametrize(("stride", "shortcut"), [(1, False), (1, True), (2, True)])
@pytest.mark.parametrize("size", [(8, 6), (9, 5), (3, 4)])
def test_output_gradients_and_buffers_are_those_of_the_blocks(
    size, stride, shortcut, band_rows, training, keeps_maps
):
    layer = blocks(stride, shortcut=shortcut).train(training)
    plain = copy.deepcopy(layer)
    image = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    features, ours = (image.clone().requires_grad_() for _ in range(2))
    run = banded(layer, band_rows, keeps_maps=keeps_maps)
    result = gradients_and_buffers(run(ours), ours, layer)
    assert_same(result, gradients_and_buffers(plain(features), features, plain))
    assert torch.equal(ours.detach(), image)


def test_the_blocks_themselves_do_not_run_but_where_no_gradient_is_wanted():
    calls = []
    layer = blocks(2, shortcut=True)
    layer.register_forward_hook(lambda *_: calls.append(1))
    for module in layer.modules():
        module.register_forward_hook(lambda *_: calls.append(1))
    features = torch.randn(1, CHANNELS, 8, 8, dtype=torch.float64)
    run = banded(layer)
    run(features).sum().backward()
    assert not calls
    expected = layer(features)
    calls.clear()
    with torch.no_grad():
        torch.testing.assert_close(run(features), expected)
    assert calls


@pytest.mark.parametrize("owns_gradient", [True, False])
def test_the_gradient_of_the_output_is_written_over_only_if_it_owns_it(owns_gradient):
    layer = blocks(1)
    features = torch.randn(1, CHANNELS, 8, 8, dtype=torch.float64, requires_grad=True)
    output = banded(layer, owns_gradient=owns_gradient)(features)
    gradient = torch.randn_like(output)
    before = gradient.clone()
    output.backward(gradient)
    assert torch.equal(gradient, before) != owns_gradient


def test_frozen_weights_and_an_input_without_gradient_leave_the_rest_as_it_is():
    layer = blocks(1)
    layer[1].requires_grad_(False)
    plain = copy.deepcopy(layer)
    features = torch.randn(1, CHANNELS, 8, 6, dtype=torch.float64)
    result = gradients_and_buffers(banded(layer)(features), features, layer)
    assert_same(result, gradients_and_buffers(plain(features), features, plain))
    assert result[1] is None


def peak_bytes(keeps_maps):
    """Bytes of a step of three blocks over those of one map, of whose bands there are 64."""
    with FakeTensorMode(), Footprint() as footprint:
        layer = blocks(1, dtype=torch.float32)
        features = torch.randn(1, CHANNELS, 256, 256).requires_grad_()
        run = banded(layer, 4, keeps_maps=keeps_maps, owns_gradient=True)
        (2 * run(features)).sum().backward()
    return footprint.peak_bytes / (CHANNELS * 256 * 256 * 4)


def test_the_backward_pass_holds_the_maps_of_a_block_or_of_all():
    # input, output and its gradient; what two blocks give; z1 and z2 of one, or of three
    assert peak_bytes(keeps_maps=False) < 7.5
    assert 9 < peak_bytes(keeps_maps=True) < 11.5
