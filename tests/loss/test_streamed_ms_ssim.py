"""The streamed loss against the plain one, in value and gradient, and what it keeps in memory."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import ImageSizeError
from radenhance.loss import streamed_ms_ssim
from radenhance.loss.ms_ssim import FLOOR, ms_ssim_loss, ssim
from radenhance.loss.streamed_ms_ssim import streamed_ms_ssim_loss
from radenhance.memory.footprint import Footprint

BANDS = [1, 700, 2**17]
"""Pixels per band: of a row, of a few rows, and of all of these images."""


def images(shape, *, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(shape, generator=generator, dtype=dtype)
    noise = torch.rand(shape, generator=generator, dtype=dtype)
    return (0.7 * target + 0.3 * noise).requires_grad_(), target


def value_and_gradient(loss, enhanced, target, **options):
    value = loss(enhanced, target, **options)
    (gradient,) = torch.autograd.grad(value, enhanced)
    return value.detach(), gradient


def assert_equal(result, expected, *, rtol):
    (value, gradient), (plain_value, plain_gradient) = result, expected
    assert abs(value - plain_value) <= rtol * abs(plain_value)
    assert (gradient - plain_gradient).norm() <= rtol * plain_gradient.norm()


@pytest.mark.parametrize("band_pixels", BANDS)
@pytest.mark.parametrize(
    ("shape", "num_scales"),
    [
        ((1, 1, 176, 192), 5),
        ((2, 1, 161, 203), 5),
        ((2, 3, 91, 85), 4),
        ((1, 2, 45, 61), 3),
        ((3, 1, 23, 40), 2),
        ((2, 1, 11, 12), 1),
        ((1, 1, 47, 90), "auto"),
    ],
)
def test_value_and_gradient_are_those_of_the_plain_loss(
    monkeypatch, shape, num_scales, band_pixels
):
    monkeypatch.setattr(streamed_ms_ssim, "BAND_PIXELS", band_pixels)
    monkeypatch.setattr(streamed_ms_ssim, "MOST_BANDS", 1000)
    enhanced, target = images(shape)
    expected = value_and_gradient(ms_ssim_loss, enhanced, target, num_scales=num_scales)
    result = value_and_gradient(streamed_ms_ssim_loss, enhanced, target, num_scales=num_scales)
    assert_equal(result, expected, rtol=1e-12)


def test_the_floor_under_anti_correlated_images_is_that_of_the_plain_loss():
    _, target = images((1, 1, 45, 46))
    enhanced = (1 - target).requires_grad_()
    assert ssim(enhanced, target) < FLOOR
    expected = value_and_gradient(ms_ssim_loss, enhanced, target, num_scales="auto")
    result = value_and_gradient(streamed_ms_ssim_loss, enhanced, target, num_scales="auto")
    assert_equal(result, expected, rtol=1e-12)


def test_another_data_range_is_that_of_the_plain_loss():
    enhanced, target = images((1, 1, 45, 46))
    enhanced = (255 * enhanced.detach()).requires_grad_()
    options = {"num_scales": 2, "data_range": 255.0}
    expected = value_and_gradient(ms_ssim_loss, enhanced, 255 * target, **options)
    result = value_and_gradient(streamed_ms_ssim_loss, enhanced, 255 * target, **options)
    assert_equal(result, expected, rtol=1e-12)


@pytest.mark.parametrize("contrast", [1.0, 0.01])
def test_float32_is_as_near_to_float64_as_the_plain_loss(contrast):
    enhanced, target = (
        0.9 * (1 - contrast) + contrast * image.detach()
        for image in images((1, 1, 176, 176), dtype=torch.float32)
    )
    enhanced.requires_grad_()
    value, exact = value_and_gradient(ms_ssim_loss, enhanced.double(), target.double())
    _, plain = value_and_gradient(ms_ssim_loss, enhanced, target)
    ours, gradient = value_and_gradient(streamed_ms_ssim_loss, enhanced, target)
    assert abs(ours - value) <= 1e-3  # of a loss of up to 100
    assert (gradient - exact).norm() <= 1.1 * (plain - exact).norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_lower_the_precision(dtype):
    enhanced, target = images((1, 1, 45, 46), dtype=torch.float32)
    outside = streamed_ms_ssim_loss(enhanced, target, num_scales=2)
    with torch.autocast("cpu", dtype=dtype):
        inside = streamed_ms_ssim_loss(enhanced, target, num_scales=2)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


def test_the_gradient_of_a_half_precision_image_has_its_dtype():
    enhanced, target = images((1, 1, 45, 46), dtype=torch.float32)
    enhanced = enhanced.detach().to(torch.bfloat16).requires_grad_()
    _, gradient = value_and_gradient(streamed_ms_ssim_loss, enhanced, target, num_scales=2)
    assert gradient.dtype == torch.bfloat16


def test_the_value_without_gradient_is_the_value_with_it():
    enhanced, target = images((1, 1, 45, 46))
    with torch.no_grad():
        without = streamed_ms_ssim_loss(enhanced, target, num_scales=2)
    assert not without.requires_grad
    assert torch.equal(without, streamed_ms_ssim_loss(enhanced, target, num_scales=2))


def test_a_second_backward_pass_is_refused_instead_of_wrong():
    enhanced, target = images((1, 1, 23, 23))
    loss = streamed_ms_ssim_loss(enhanced, target, num_scales=2)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("side", [2048, 2047])
def test_a_quarter_of_the_plain_loss_is_in_memory(side):
    with FakeTensorMode():
        enhanced, target = torch.rand(2, 1, 1, side, side)
        enhanced.requires_grad_()
        with Footprint() as footprint:
            streamed_ms_ssim_loss(enhanced, target).backward()
        with Footprint() as plain:
            ms_ssim_loss(enhanced, target).backward()
    assert footprint.peak_bytes < 5 * target.nbytes  # the two images included
    assert footprint.peak_bytes < 0.25 * plain.peak_bytes


def test_sizes_and_scales_are_refused_as_by_the_plain_loss():
    with pytest.raises(ImageSizeError, match="at least 161 pixels a side, got 160"):
        streamed_ms_ssim_loss(torch.zeros(1, 1, 160, 160), torch.zeros(1, 1, 160, 160))
    with pytest.raises(ImageSizeError, match="one shape"):
        streamed_ms_ssim_loss(torch.zeros(1, 1, 176, 176), torch.zeros(1, 1, 176, 177))
