"""The streamed loss against the plain one, in value and gradient, and what it keeps in memory."""

import functools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import ImageSizeError
from radenhance.loss import streamed_ms_ssim
from radenhance.loss.blur import Additions, Convolutions
from radenhance.loss.ms_ssim import FLOOR, gaussian_window, ms_ssim_loss, ssim
from radenhance.loss.streamed import streamed_loss
from radenhance.memory.footprint import Footprint
from radenhance.planning.traffic import Traffic

BANDS = [1, 700, 2**17]
"""Pixels per band: of a row, of a few rows, and of all of these images."""


@pytest.fixture(params=[Additions, Convolutions])
def blur(request, monkeypatch):
    """How both kinds of devices blur, on this one."""

    def blur_for(image, stacks, dtype):
        return Convolutions(stacks, gaussian_window(image.to(dtype)))

    if request.param is Convolutions:
        monkeypatch.setattr(streamed_ms_ssim, "blur_for", blur_for)
    return request.param


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
    monkeypatch, blur, shape, num_scales, band_pixels
):
    monkeypatch.setattr(blur, "band_pixels", band_pixels)
    monkeypatch.setattr(blur, "most_bands", 1000)
    enhanced, target = images(shape)
    expected = value_and_gradient(ms_ssim_loss, enhanced, target, num_scales=num_scales)
    result = value_and_gradient(streamed_loss, enhanced, target, num_scales=num_scales)
    assert_equal(result, expected, rtol=1e-12)


def test_the_floor_under_anti_correlated_images_is_that_of_the_plain_loss():
    _, target = images((1, 1, 45, 46))
    enhanced = (1 - target).requires_grad_()
    assert ssim(enhanced, target) < FLOOR
    expected = value_and_gradient(ms_ssim_loss, enhanced, target, num_scales="auto")
    result = value_and_gradient(streamed_loss, enhanced, target, num_scales="auto")
    assert_equal(result, expected, rtol=1e-12)


def test_another_data_range_is_that_of_the_plain_loss():
    enhanced, target = images((1, 1, 45, 46))
    enhanced = (255 * enhanced.detach()).requires_grad_()
    options = {"num_scales": 2, "data_range": 255.0}
    expected = value_and_gradient(ms_ssim_loss, enhanced, 255 * target, **options)
    result = value_and_gradient(streamed_loss, enhanced, 255 * target, **options)
    assert_equal(result, expected, rtol=1e-12)


@pytest.mark.parametrize("contrast", [1.0, 0.01])
def test_float32_is_nearer_to_float64_than_the_plain_loss(blur, contrast):
    enhanced, target = (
        0.9 * (1 - contrast) + contrast * image.detach()
        for image in images((1, 1, 176, 176), dtype=torch.float32)
    )
    enhanced.requires_grad_()
    value, exact = value_and_gradient(ms_ssim_loss, enhanced.double(), target.double())
    _, plain = value_and_gradient(ms_ssim_loss, enhanced, target)
    ours, gradient = value_and_gradient(streamed_loss, enhanced, target)
    assert abs(ours - value) <= 1e-6 * max(1, value)  # of a loss of up to 100
    assert (gradient - exact).norm() <= 0.8 * (plain - exact).norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_lower_the_precision(dtype):
    enhanced, target = images((1, 1, 45, 46), dtype=torch.float32)
    outside = streamed_loss(enhanced, target, num_scales=2)
    with torch.autocast("cpu", dtype=dtype):
        inside = streamed_loss(enhanced, target, num_scales=2)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


def test_the_gradient_of_a_half_precision_image_has_its_dtype():
    enhanced, target = images((1, 1, 45, 46), dtype=torch.float32)
    enhanced = enhanced.detach().to(torch.bfloat16).requires_grad_()
    _, gradient = value_and_gradient(streamed_loss, enhanced, target, num_scales=2)
    assert gradient.dtype == torch.bfloat16


def test_the_value_without_gradient_is_the_value_with_it():
    enhanced, target = images((1, 1, 45, 46))
    with torch.no_grad():
        without = streamed_loss(enhanced, target, num_scales=2)
    assert not without.requires_grad
    assert torch.equal(without, streamed_loss(enhanced, target, num_scales=2))


def test_the_value_in_inference_mode_is_the_same():
    enhanced, target = images((1, 1, 45, 46))
    with torch.inference_mode():
        inside = streamed_loss(enhanced, target, num_scales=2, l1_share=0.16)
    assert inside.item() == streamed_loss(enhanced, target, num_scales=2, l1_share=0.16).item()


def test_one_map_waits_for_the_backward_pass():
    enhanced, target = images((1, 1, 64, 66), dtype=torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor
    ):
        streamed_loss(enhanced, target, num_scales=2, l1_share=0.16)
    assert sum(nbytes for nbytes in kept if nbytes > 1000) == target.nbytes


def test_a_second_backward_pass_is_refused_instead_of_wrong():
    enhanced, target = images((1, 1, 23, 23))
    loss = streamed_loss(enhanced, target, num_scales=2)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.fixture(scope="module")
def counted():
    """Return what counts work and maps of the loss on fake tensors, once for each case."""

    def count(side, l1_share, dtype):
        with FakeTensorMode():
            enhanced = torch.rand(1, 1, side, side, dtype=dtype).requires_grad_()
            target = torch.rand(1, 1, side, side)
            with Footprint() as footprint, Traffic() as traffic:
                streamed_loss(enhanced, target, l1_share=l1_share).backward()
        beside = footprint.peak_bytes - enhanced.nbytes - target.nbytes
        return traffic, beside / target.nbytes

    return functools.cache(count)


CASES = [
    (4096, 0.0, torch.float32),
    (4096, 0.16, torch.float32),
    (4095, 0.16, torch.float32),
    (4096, 0.16, torch.bfloat16),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_at_4096_px_the_loss_moves_less_than_10_gb_in_500_operators(counted, case):
    traffic, _ = counted(*case)
    assert traffic.moved_bytes < 10e9
    assert traffic.operators <= 500


@pytest.mark.parametrize("case", CASES, ids=str)
def test_at_4096_px_two_maps_are_beside_both_images(counted, case):
    _, maps = counted(*case)
    assert maps <= 2.01


def test_sizes_and_scales_are_refused_as_by_the_plain_loss():
    with pytest.raises(ImageSizeError, match="at least 161 pixels a side, got 160"):
        streamed_loss(torch.zeros(1, 1, 160, 160), torch.zeros(1, 1, 160, 160))
    with pytest.raises(ImageSizeError, match="one shape"):
        streamed_loss(torch.zeros(1, 1, 176, 176), torch.zeros(1, 1, 176, 177))
