import pytest
import torch

from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.loss.streamed import mean_absolute_error, streamed_loss


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


def test_bands_of_the_error_do_not_change_it(monkeypatch):
    enhanced, target = images()
    whole = mean_absolute_error(enhanced, target)
    monkeypatch.setattr("radenhance.loss.streamed.BAND_PIXELS", 1000)
    assert mean_absolute_error(enhanced, target).item() == pytest.approx(whole.item(), rel=1e-14)


def test_where_both_agree_there_is_no_gradient():
    enhanced, _ = images((1, 1, 40, 40))
    mean_absolute_error(enhanced, enhanced.detach().clone()).backward()
    assert not enhanced.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    enhanced, target = images((1, 1, 512, 512), dtype)
    loss = mean_absolute_error(enhanced, target)
    loss.backward()
    exact = (enhanced.double() - target.double()).abs().mean()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    assert enhanced.grad.dtype == dtype


def test_one_byte_per_pixel_waits_for_the_backward_pass():
    enhanced, target = images((1, 1, 64, 64), torch.float32)
    kept = []

    def keep(tensor):
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        mean_absolute_error(enhanced, target)
    assert sum(kept) == 64 * 64
