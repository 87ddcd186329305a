"""The absolute error beside MS-SSIM, against PyTorch's own."""

import pytest
import torch

from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.loss.streamed import streamed_loss


def images(shape=(2, 1, 181, 203), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    enhanced, target = (torch.rand(shape, generator=generator, dtype=dtype) for _ in range(2))
    return enhanced.requires_grad_(), target


@pytest.mark.parametrize("share", [0.0, 0.16, 0.9])
def test_value_and_gradient_are_those_of_the_definition_to_1e_12(share):
    enhanced, target = images()
    loss = streamed_loss(enhanced, target, l1_share=share)
    loss.backward()
    gradient, enhanced.grad = enhanced.grad, None
    error = (enhanced - target).abs().mean()
    expected = (1 - share) * ms_ssim_loss(enhanced, target) + 100 * share * error
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert torch.allclose(gradient, enhanced.grad, rtol=1e-12, atol=1e-14)


def test_where_both_agree_there_is_no_gradient():
    enhanced, _ = images((1, 1, 40, 40))
    streamed_loss(enhanced, enhanced.detach().clone(), num_scales=1, l1_share=0.5).backward()
    assert enhanced.grad.abs().max() < 1e-15


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype, both):
    enhanced, target = images((1, 1, 256, 256), dtype)
    target = target if both else target.float()
    loss = streamed_loss(enhanced, target, l1_share=0.5)
    loss.backward()
    exact = enhanced.detach().double().requires_grad_()
    expected = streamed_loss(exact, target.double(), l1_share=0.5)
    expected.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert enhanced.grad.dtype == dtype
    rounded = exact.grad.to(dtype).double()
    assert torch.allclose(
        enhanced.grad.double(), rounded, rtol=2 * torch.finfo(dtype).eps, atol=1e-7
    )
