"""Statistics of a map that is seen in bands, and what a BatchNorm does with them."""

import copy

import pytest
import torch
from torch import nn

from radenhance.memory.banding.bands import Stored, fill, stored
from radenhance.memory.banding.batch_norm import (
    Moments,
    Normalization,
    observe,
    uses_batch_statistics,
)


def test_moments_are_exact_although_the_first_band_is_unlike_the_others():
    torch.manual_seed(0)
    values = torch.cat([torch.full((1, 2, 4, 50), 1e3), torch.randn(1, 2, 396, 50)], dim=2)
    moments = Moments()
    for band in values.split(4, dim=2):
        moments.add(band)
    mean, variance = moments.mean_and_variance()
    exact = values.double().transpose(0, 1).flatten(1)
    assert torch.allclose(mean, exact.mean(1), rtol=1e-6, atol=0)
    assert torch.allclose(variance, exact.var(1, correction=0), rtol=1e-6, atol=0)


def test_a_map_of_one_value_has_no_variance():
    moments = Moments()
    for _ in range(3):
        band = torch.full((1, 1, 4, 5), 0.1)
        assert moments.add(band) is band
    mean, variance = moments.mean_and_variance()
    assert mean.item() == pytest.approx(0.1, rel=1e-7)
    assert variance.item() == 0
    assert moments.num_values == 60


def norm_of(**options):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, dtype=torch.float64, **options)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("band_rows", [1, 3, 100])
def test_output_and_running_statistics_are_those_of_the_norm_itself(band_rows, momentum, store):
    norm = norm_of(momentum=momentum)
    plain = copy.deepcopy(norm)
    for _ in range(2):
        features = torch.randn(2, 3, 7, 5, dtype=torch.float64)
        expected = plain(features).relu()
        computed = stored(features).then(torch.clone)
        statistics, before = observe(norm, computed, band_rows, store=store)
        normalization = Normalization(statistics, norm.weight, norm.bias, norm.eps)
        with torch.no_grad():
            result = fill(before.then(normalization.activated), band_rows)
        torch.testing.assert_close(result, expected.detach(), rtol=1e-12, atol=1e-12)
        assert isinstance(before, Stored) == store
    for name, value in plain.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name), value, rtol=1e-12, atol=0)


def test_running_statistics_are_constants_that_stay_as_they_are():
    norm = norm_of().eval()
    buffers = copy.deepcopy(dict(norm.named_buffers()))
    statistics, _ = observe(norm, stored(torch.rand(1, 3, 4, 4).double()), 2, store=False)
    assert statistics.num_values == 0
    assert statistics.mean is norm.running_mean
    assert all(torch.equal(norm.get_buffer(name), value) for name, value in buffers.items())


def test_a_norm_that_tracks_nothing_uses_the_batch_in_evaluation_too():
    norm = norm_of(track_running_stats=False).eval()
    assert uses_batch_statistics(norm)
    assert not uses_batch_statistics(norm_of().eval())
    features = torch.rand(1, 3, 4, 4).double()
    statistics, _ = observe(norm, stored(features), 2, store=False)
    torch.testing.assert_close(statistics.mean, features.mean(dim=(0, 2, 3)))
