"""A correction of the reduced image, enlarged, by a network that does not change."""

import copy

import pytest
import torch
import torch.nn.functional as F

from radenhance.network.coarse import CoarseCorrection


@pytest.fixture
def coarse():
    torch.manual_seed(0)
    return CoarseCorrection("tu-mobilenetv3_small_050", 64)


@pytest.mark.parametrize("shape", [(64, 64), (64, 90), (40, 50)])
def test_an_image_of_its_size_or_smaller_is_not_reduced(coarse, shape):
    raw = torch.rand(2, 1, *shape)
    padded = F.pad(raw, (0, -shape[1] % 32, 0, -shape[0] % 32), mode="reflect")
    expected = coarse.unet(padded)[..., : shape[0], : shape[1]]
    assert torch.allclose(coarse(raw), expected, atol=1e-6)


def test_a_larger_image_is_reduced_to_its_size_and_the_correction_enlarged(coarse):
    small = torch.rand(1, 1, 64, 96)
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    expected = F.interpolate(coarse.unet(small), (256, 384), mode="bicubic")
    assert torch.allclose(coarse(large), expected, atol=1e-5)


def test_it_stays_as_trained_when_all_around_it_trains(coarse):
    before = copy.deepcopy(coarse.state_dict())
    raw = torch.rand(2, 1, 100, 80, requires_grad=True)
    result = torch.nn.ModuleList([coarse]).train()[0](raw)
    assert not result.requires_grad
    assert not any(parameter.requires_grad for parameter in coarse.parameters())
    assert all(torch.equal(coarse.state_dict()[name], value) for name, value in before.items())
