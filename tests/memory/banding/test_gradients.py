"""Each pass of the backward pass against autograd on the whole image."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from radenhance.memory.banding.bands import Rows, fill, stored
from radenhance.memory.banding.batch_norm import Normalization, Statistics
from radenhance.memory.banding.gradients import (
    head_gradients,
    norm_sums,
    relu_gradient,
    second_convolution_gradients,
    second_convolution_gradients_on_demand,
    skip_weight_gradient,
    small_map_gradients,
    through_convolution,
    through_norm,
)

BANDS = [2, 4, 100]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


def assert_equal(result, expected):
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-11)


def layer(training=True):
    """A BatchNorm, a map before it, and what a band normalises with."""
    norm = nn.BatchNorm2d(3, dtype=torch.float64).train(training)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    before = random(2, 3, 9, 5)
    number = before.numel() // 3
    values = before.detach().transpose(0, 1).flatten(1)
    statistics = (
        Statistics(values.mean(1), values.var(1, correction=0), number)
        if training
        else Statistics(norm.running_mean, norm.running_var, 0)
    )
    return norm, before, Normalization(statistics, norm.weight.data, norm.bias.data, norm.eps)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("band_rows", BANDS)
def test_the_gradient_through_relu_and_norm_is_that_of_autograd(band_rows, training):
    norm, before, normalization = layer(training)
    upstream = torch.randn(2, 3, 9, 5, dtype=torch.float64)
    norm(before).relu().backward(upstream)
    rows = stored(before.detach())
    of_norm = relu_gradient(stored(upstream), rows, normalization)
    sums = norm_sums(of_norm, rows, normalization, band_rows)
    assert_equal(sums[0], norm.weight.grad)
    assert_equal(sums[1], norm.bias.grad)
    assert_equal(fill(through_norm(of_norm, rows, normalization, sums), band_rows), before.grad)


@pytest.mark.parametrize("band_rows", BANDS)
def test_the_gradients_of_the_head_are_those_of_autograd(band_rows):
    activated, weight, bias = random(2, 3, 9, 5), random(1, 3, 3, 3), random(1)
    output = F.conv2d(activated, weight, bias, padding=1)
    upstream = torch.randn_like(output)
    output.backward(upstream)
    rows, gradient = stored(activated.detach()), stored(upstream)
    of_weight, of_bias = head_gradients(rows, gradient, weight.detach(), band_rows)
    assert_equal(of_weight, weight.grad)
    assert_equal(of_bias, bias.grad)
    through = through_convolution(gradient, weight.detach())
    assert_equal(fill(through, band_rows), activated.grad)


@pytest.mark.parametrize("band_rows", BANDS)
def test_the_second_convolution_and_the_first_norm_get_the_gradients_of_autograd(band_rows):
    norm, first, normalization = layer()
    weight = random(3, 3, 3, 3)
    normalized = norm(first)
    normalized.retain_grad()
    output = F.conv2d(normalized.relu(), weight, padding=1)
    upstream = torch.randn_like(output)
    output.backward(upstream)
    into = torch.empty_like(upstream)
    of_weight, sums, _ = second_convolution_gradients(
        stored(upstream), stored(first.detach()), normalization, weight.detach(),
        into=into, band_rows=band_rows,
    )  # fmt: skip
    assert_equal(of_weight, weight.grad)
    assert_equal(into, normalized.grad)
    assert_equal(sums[0], norm.weight.grad)
    assert_equal(sums[1], norm.bias.grad)


@pytest.mark.parametrize("band_rows", BANDS)
def test_what_is_stored_by_no_one_is_what_would_be(band_rows):
    _, first, normalization = layer()
    weight = random(3, 3, 3, 3).detach()
    upstream = torch.randn(2, 3, 9, 5, dtype=torch.float64)
    into, rows = torch.empty_like(upstream), stored(first.detach())
    of_weight, sums, _ = second_convolution_gradients(
        stored(upstream), rows, normalization, weight, into=into, band_rows=band_rows
    )
    of_norm, *result = second_convolution_gradients_on_demand(
        stored(upstream), rows, normalization, weight, band_rows
    )
    assert_equal(fill(of_norm, 4), into)
    assert_equal(result[0], of_weight)
    assert_equal(result[1], sums)


@pytest.mark.parametrize("band_rows", BANDS)
def test_it_may_write_over_the_gradient_that_it_reads(band_rows):
    _, first, normalization = layer()
    weight = random(3, 3, 3, 3)
    upstream = torch.randn(2, 3, 9, 5, dtype=torch.float64)
    apart, same = upstream.clone(), upstream.clone()
    expected = second_convolution_gradients(
        stored(upstream), stored(first.detach()), normalization, weight.detach(),
        into=apart, band_rows=band_rows,
    )  # fmt: skip
    result = second_convolution_gradients(
        stored(same), stored(first.detach()), normalization, weight.detach(),
        into=same, band_rows=band_rows,
    )  # fmt: skip
    assert torch.equal(same, apart)
    assert all(map(torch.equal, result[:2], expected[:2]))


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("band_rows", BANDS)
def test_small_map_and_skip_get_the_gradients_of_autograd(band_rows, in_place):
    features, skip, weight = random(2, 3, 5, 4), random(2, 2, 10, 8), random(4, 5, 3, 3)
    both = torch.cat([F.interpolate(features, scale_factor=2.0), skip], dim=1)
    output = F.conv2d(both, weight, padding=1)
    upstream = torch.randn_like(output)
    output.backward(upstream)
    small, kernel = features.detach().clone(), weight.detach()
    into = small if in_place else torch.empty_like(small)
    of_weight = small_map_gradients(stored(upstream), small, kernel[:, :3], band_rows, into=into)
    assert_equal(into, features.grad)
    assert_equal(of_weight, weight.grad[:, :3])
    beside = skip_weight_gradient(stored(upstream), stored(skip.detach()), kernel[:, 3:], band_rows)
    assert_equal(beside, weight.grad[:, 3:])
    assert_equal(fill(through_convolution(stored(upstream), kernel[:, 3:]), band_rows), skip.grad)


@pytest.mark.parametrize("band_rows", BANDS)
def test_a_gradient_that_is_computed_from_the_small_map_may_be_written_over_it(band_rows):
    features, weight = random(2, 3, 12, 4).detach(), random(4, 3, 3, 3).detach()
    small = features.clone()

    def of_first(source):
        """Rows 2f to 2l, from three rows of the small map more than [f, l)."""

        def within(first, last):
            seen = stored(source)((first + 1) // 2 - 3, last // 2 + 3)
            rows = seen.repeat_interleave(2, 2).cumsum(2)[:, :1].expand(-1, 4, -1, -1)
            start = first - 2 * ((first + 1) // 2 - 3)
            return rows.repeat_interleave(2, 3)[:, :, start : start + last - first]

        return Rows(24, within)

    apart = torch.empty_like(features)
    expected = small_map_gradients(of_first(features), features, weight, band_rows, into=apart)
    result = small_map_gradients(
        of_first(small), small, weight, band_rows, into=small, num_read_above=4
    )
    assert torch.equal(small, apart)
    assert torch.equal(result, expected)
