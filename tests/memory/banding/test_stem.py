"""A stem in bands of rows against the same layers on the whole image."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.memory.banding.stem import BandedStem
from radenhance.memory.footprint import Footprint


def layers():
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 6, 7, stride=2, padding=3, bias=False, dtype=torch.float64)
    norm = nn.BatchNorm2d(6, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.uniform_(-1, 1)
        norm.bias.uniform_(-1, 1)
        norm.running_mean.uniform_(-0.1, 0.1)
    return convolution, norm


def gradients_and_buffers(pooled, image, convolution, norm):
    (pooled * torch.linspace(-1, 1, pooled.numel()).view_as(pooled)).sum().backward()
    gradients = image.grad, convolution.weight.grad, norm.weight.grad, norm.bias.grad
    return [pooled.detach(), *gradients, *norm.buffers()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["noise", "steps of equal values"])
@pytest.mark.parametrize("band_rows", [1, 2, 5, 100])
@pytest.mark.parametrize("size", [(37, 41), (36, 40), (38, 39), (7, 7)])
def test_pooled_features_and_gradients_are_those_of_the_layers(size, band_rows, kind, training):
    image = torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(1)).double()
    if kind == "steps of equal values":  # where windows have several maxima
        image = image.round()
        image[:, :, : size[0] // 2] = 0.5
    convolution, norm = layers()
    norm.train(training)
    expected_layers = copy.deepcopy((convolution, norm))
    plain, ours = (image.clone().requires_grad_() for _ in range(2))
    features = torch.relu(expected_layers[1](expected_layers[0](plain)))
    expected = gradients_and_buffers(F.max_pool2d(features, 3, 2, 1), plain, *expected_layers)
    stem = BandedStem(convolution, norm, lambda shape: band_rows)
    result = gradients_and_buffers(stem.pooled(ours), ours, convolution, norm)
    for value, other in zip(result, expected, strict=True):
        assert (value - other).double().norm() <= 1e-11 * other.double().norm()


def test_the_norm_sees_the_image_once_however_often_the_stem_runs():
    convolution, norm = layers()
    stem = BandedStem(convolution, norm, lambda shape: 3)
    image = torch.rand(1, 2, 32, 32, dtype=torch.float64)
    first, again = stem.pooled(image), stem.pooled(image)
    assert norm.num_batches_tracked == 1
    assert torch.equal(first, again)


def test_neither_the_features_nor_their_gradient_are_ever_whole():
    with FakeTensorMode(), Footprint() as footprint:
        convolution, norm = layers()
        stem = BandedStem(convolution, norm, lambda shape: 8)
        image = torch.rand(1, 2, 1024, 1024, dtype=torch.float64)
        stem.pooled(image).sum().backward()
    features = 6 * 512 * 512 * 8
    pooled_and_gradient = 2 * features / 4
    assert footprint.peak_bytes < 2 * 1024 * 1024 * 8 + pooled_and_gradient + 0.5 * features
