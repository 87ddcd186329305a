"""One decoder stage in bands against its layers, without a network around it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.memory.banding.decoder import BandedStage
from radenhance.memory.footprint import Footprint


def layers(num_inputs):
    torch.manual_seed(0)
    plain = {"bias": False, "padding": 1, "dtype": torch.float64}
    convolutions = nn.Conv2d(num_inputs, 4, 3, **plain), nn.Conv2d(4, 4, 3, **plain)
    norms = nn.BatchNorm2d(4, dtype=torch.float64), nn.BatchNorm2d(4, dtype=torch.float64)
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    head = nn.Conv2d(4, 1, 3, padding=1, dtype=torch.float64)
    return nn.ModuleList([*convolutions, *norms, head])


def stage_of(modules, *, head, **options):
    first, second, first_norm, second_norm, last = modules
    norms = (first_norm, second_norm)
    return BandedStage((first, second), norms, last if head else None, lambda _: 4, **options)


def plain_stage(modules, features, skip, *, head):
    first, second, first_norm, second_norm, last = modules
    features = F.interpolate(features, scale_factor=2.0)
    features = features if skip is None else torch.cat([features, skip], dim=1)
    features = second_norm(second(first_norm(first(features)).relu())).relu()
    return last(features) if head else features


def results(output, modules, *inputs):
    output.square().sum().backward()
    gradients = [p.grad for p in (*modules.parameters(), *inputs) if p.grad is not None]
    return [output.detach(), *gradients, *modules.buffers()]


def assert_same(result, expected):
    assert len(result) == len(expected)
    for ours, plain in zip(result, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


KINDS = {
    "kept": {},
    "not kept": {"keeps_map": False},
    "written over": {"keeps_map": False, "owns_features": True, "owns_gradient": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", [True, False], ids=["head", "no head"])
@pytest.mark.parametrize("num_skip", [2, 0, None])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 2)])
def test_output_gradients_and_buffers_are_those_of_the_layers(size, num_skip, head, kind):
    modules = layers(3 + (num_skip or 0))
    expected_modules = copy.deepcopy(modules)
    features = torch.randn(2, 3, *size, dtype=torch.float64).requires_grad_()
    skip = None
    if num_skip is not None:  # no channels: what encoders without a map of this size give
        skip = torch.randn(2, num_skip, 2 * size[0], 2 * size[1], dtype=torch.float64)
    given = [features, *([skip.requires_grad_()] if num_skip else [])]
    ours = [tensor.detach().clone().requires_grad_() for tensor in given]
    expected = plain_stage(expected_modules, features, skip, head=head)
    stage = stage_of(modules, head=head, **KINDS[kind])
    result = stage(ours[0] * 1, ours[1] if num_skip else skip)
    assert_same(results(result, modules, *ours), results(expected, expected_modules, *given))


def test_what_a_stage_does_not_own_is_not_written_over():
    modules = layers(3)
    features = torch.randn(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    before = features.detach().clone()
    stage_of(modules, head=False)(features).sum().backward()
    assert torch.equal(features.detach(), before)


def test_what_it_owns_becomes_its_own_gradient():
    modules, source = layers(3), torch.randn(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    features = source * 1
    memory = features.data_ptr()
    seen = []
    features.register_hook(lambda gradient: seen.append(gradient.data_ptr()))
    stage_of(modules, head=False, owns_features=True)(features).sum().backward()
    assert seen == [memory]


def test_without_gradient_nothing_is_kept_for_a_backward_pass():
    modules = layers(3)
    with torch.no_grad():
        result = stage_of(modules, head=True)(torch.randn(2, 3, 4, 4, dtype=torch.float64))
    assert result.grad_fn is None
    assert result.shape == (2, 1, 8, 8)


def peak_bytes(*, head, **options):
    """Bytes of a step over those of z1, of whose bands there are 64."""
    with FakeTensorMode(), Footprint() as footprint:
        features = torch.randn(1, 3, 128, 128, dtype=torch.float64).requires_grad_()
        stage = stage_of(layers(3), head=head, **options)
        (2 * stage(features * 1)).sum().backward()
    return footprint.peak_bytes / (4 * 256 * 256 * 8)


def test_a_last_stage_that_keeps_no_map_never_stores_one():
    kept = peak_bytes(head=True, owns_features=True)
    assert peak_bytes(head=True, keeps_map=False, owns_features=True) < kept - 0.7


def test_a_stage_that_owns_the_gradient_of_its_output_stores_no_z2():
    options = {"head": False, "keeps_map": False}
    assert peak_bytes(**options, owns_gradient=True) < peak_bytes(**options) - 0.7
