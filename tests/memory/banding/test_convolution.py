"""Convolutions of bands against PyTorch's own on the whole image, at every border and odd size."""

import pytest
import torch
import torch.nn.functional as F

from radenhance.memory.banding.bands import bands, stored
from radenhance.memory.banding.convolution import (
    compute_dtype,
    convolve,
    input_gradient,
    kernel_gradient,
    small_input_gradient,
    strided_input_gradient,
    upsample_and_convolve,
    upsampling_kernel,
    upsampling_kernel_transposed,
    weight_gradient,
)

SIZES = [(1, 1), (1, 6), (2, 3), (5, 4), (7, 9)]


@pytest.fixture(params=SIZES, ids=str)
def features(request):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *request.param, generator=generator, dtype=torch.float64)


@pytest.fixture
def weight():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 3, 3, 3, generator=generator, dtype=torch.float64)


def plain(features, weight, *, upsample=False):
    """Output, an upstream gradient, and the gradients of features and weight."""
    features, weight = features.clone().requires_grad_(), weight.clone().requires_grad_()
    given = F.interpolate(features, scale_factor=2.0) if upsample else features
    output = F.conv2d(given, weight, padding=1)
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    output.backward(upstream)
    return output.detach(), upstream, features.grad, weight.grad


def by_bands(function, num_rows, band_rows):
    return torch.cat([function(a, b) for a, b in bands(num_rows, band_rows)], dim=2)


def assert_equal(result, expected):
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("band_rows", [1, 2, 3, 100])
def test_a_convolution_by_bands_is_that_of_the_image(features, weight, band_rows):
    output, upstream, of_features, of_weight = plain(features, weight)
    rows, gradient, num_rows = stored(features), stored(upstream), features.shape[2]
    assert_equal(
        by_bands(lambda a, b: convolve(rows(a - 1, b + 1), weight), num_rows, band_rows), output
    )
    assert_equal(
        by_bands(lambda a, b: input_gradient(gradient(a - 1, b + 1), weight), num_rows, band_rows),
        of_features,
    )
    shares = [
        weight_gradient(rows(a - 1, b + 1), gradient(a, b), weight)
        for a, b in bands(num_rows, band_rows)
    ]
    assert_equal(sum(shares), of_weight)


@pytest.mark.parametrize("band_rows", [1, 2, 100])
def test_a_convolution_of_stride_two_by_bands_is_that_of_the_image(features, weight, band_rows):
    given, kernel = features.clone().requires_grad_(), weight.clone().requires_grad_()
    output = F.conv2d(given, kernel, stride=2, padding=1)
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    output.backward(upstream)
    rows, gradient, num_rows = stored(features), stored(upstream), output.shape[2]

    def forward(a, b):
        return convolve(rows(2 * a - 1, 2 * b), weight, stride=2)

    def backward(a, b):
        return strided_input_gradient(gradient(a, b + 1), weight, features.shape[3])

    assert_equal(by_bands(forward, num_rows, band_rows), output)
    of_features = by_bands(backward, num_rows, band_rows)[:, :, : features.shape[2]]
    assert_equal(of_features, given.grad)
    shares = [
        weight_gradient(rows(2 * a - 1, 2 * b), gradient(a, b), weight, 2)
        for a, b in bands(num_rows, band_rows)
    ]
    assert_equal(sum(shares), kernel.grad)


@pytest.mark.parametrize("band_rows", [1, 2, 100])
def test_one_transposed_convolution_upsamples_and_convolves(features, weight, band_rows):
    output, upstream, of_features, of_weight = plain(features, weight, upsample=True)
    rows, gradient, num_rows = stored(features), stored(upstream), features.shape[2]
    kernel = upsampling_kernel(weight)

    def forward(a, b):
        return upsample_and_convolve(rows(a - 1, b + 1), kernel)

    def backward(a, b):
        return small_input_gradient(gradient(2 * a - 1, 2 * b + 1), kernel)

    assert_equal(by_bands(forward, num_rows, band_rows), output)
    assert_equal(by_bands(backward, num_rows, band_rows), of_features)
    shares = [
        kernel_gradient(rows(a, b), gradient(2 * a - 1, 2 * b + 1), kernel)
        for a, b in bands(num_rows, band_rows)
    ]
    assert_equal(upsampling_kernel_transposed(sum(shares)), of_weight)


def test_the_bias_is_added_once():
    output = convolve(torch.zeros(1, 1, 4, 3), torch.ones(2, 1, 3, 3), torch.tensor([1.0, -2.0]))
    assert output.shape == (1, 2, 2, 3)
    assert output[0, :, 0, 0].tolist() == [1, -2]


def test_shares_of_a_weight_gradient_are_summed_in_float64():
    rows, gradient = torch.rand(1, 3, 6, 5), torch.rand(1, 4, 4, 5)
    assert weight_gradient(rows, gradient, torch.rand(4, 3, 3, 3)).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_band_is_computed_in_the_dtype_that_autocast_would_choose(dtype):
    features, weight = torch.rand(1), torch.rand(1)
    assert compute_dtype(features, weight) == torch.float32
    with torch.autocast("cpu", dtype=dtype):
        assert compute_dtype(features, weight) == dtype
        assert compute_dtype(features.double(), weight) == torch.float64
