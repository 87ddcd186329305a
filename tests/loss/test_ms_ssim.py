"""MS-SSIM against an evaluation of its own in float64, against two libraries, and at the edges."""

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as vainf_ms_ssim
from pytorch_msssim import ssim as vainf_ssim
from scipy.ndimage import correlate
from scipy.signal import correlate2d
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure as torchmetrics_ms_ssim,
)

from radenhance.errors import ImageSizeError, ParameterError
from radenhance.loss.ms_ssim import (
    FLOOR,
    WEIGHTS,
    halve,
    keep_positive,
    ms_ssim,
    ms_ssim_loss,
    scale_weights,
    smallest_side,
    ssim,
)


def images(
    rows: int, columns: int, *, noise: float = 0.1, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth float64 image in [0, 1] and a noisy, darker copy, each (1, 1, rows, columns)."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    clean = 0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 13) + 0.1 * generator.random((rows, columns))
    noisy = np.clip(0.9 * clean + noise * generator.standard_normal((rows, columns)), 0, 1)
    return torch.from_numpy(noisy)[None, None], torch.from_numpy(clean)[None, None]


def wang_2003(x: np.ndarray, y: np.ndarray) -> float:
    """The authors' procedure in SciPy: 2-D window, 'valid' filter, 2x2 mean, decimation."""
    offset = np.arange(11) - 5
    window = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        return correlate2d(image, window, mode="valid")

    result = 1.0
    for scale, weight in enumerate(WEIGHTS):
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        cs = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        result *= np.mean(luminance * cs if scale == 4 else cs) ** weight
        # origin -1: the block of a pixel is itself and its right and lower neighbour
        x, y = (
            correlate(i, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2] for i in (x, y)
        )
    return float(result)


@pytest.mark.parametrize("shape", [(176, 192), (177, 203), (262, 161), (500, 331)])
def test_equals_wang_2003_in_float64_at_even_and_odd_sizes(shape):
    noisy, clean = images(*shape)
    assert ms_ssim(noisy, clean).item() == pytest.approx(
        wang_2003(noisy[0, 0].numpy(), clean[0, 0].numpy()), rel=1e-12
    )


def test_equals_pytorch_msssim_where_every_scale_is_even():
    # rel: their window is float32 whatever the images are
    noisy, clean = images(192, 256)
    assert ms_ssim(noisy, clean).item() == pytest.approx(
        vainf_ms_ssim(noisy, clean, data_range=1.0).item(), rel=1e-5
    )
    assert ssim(noisy, clean).item() == pytest.approx(
        vainf_ssim(noisy, clean, data_range=1.0).item(), rel=1e-5
    )


def test_is_near_torchmetrics_which_pads_before_it_averages():
    noisy, clean = images(320, 320)
    theirs = torchmetrics_ms_ssim(noisy, clean, data_range=1.0).item()
    assert ms_ssim(noisy, clean).item() == pytest.approx(theirs, abs=5e-3)


def test_equal_images_have_similarity_one_and_loss_zero():
    _, clean = images(176, 176)
    assert ms_ssim(clean, clean).item() == pytest.approx(1.0, abs=1e-12)
    assert ms_ssim_loss(clean, clean).item() == pytest.approx(0.0, abs=1e-10)


def test_loss_is_on_the_scale_of_the_paper():
    noisy, clean = images(176, 176)
    assert ms_ssim_loss(noisy, clean).item() == pytest.approx(
        100 * (1 - ms_ssim(noisy, clean).item())
    )


def test_float32_is_within_1e_5_of_float64_on_a_flat_image():
    flat = 0.9 + 0.01 * images(176, 176)[1]
    noisy = flat + 0.001 * torch.randn(
        flat.shape, dtype=torch.float64, generator=torch.manual_seed(1)
    )
    assert ms_ssim(noisy.float(), flat.float()).item() == pytest.approx(
        ms_ssim(noisy, flat).item(), abs=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_lower_the_precision_of_the_loss(dtype):
    noisy, clean = (0.9 + 0.01 * image.float() for image in images(176, 176))
    outside = ms_ssim(noisy, clean)
    with torch.autocast("cpu", dtype=dtype):
        inside = ms_ssim(noisy, clean)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


def test_anti_correlated_images_have_a_gradient_that_lowers_the_loss():
    _, clean = images(176, 176)
    inverted = (1.0 - clean).float().requires_grad_()
    loss = ms_ssim_loss(inverted, clean.float())
    (gradient,) = torch.autograd.grad(loss, inverted)
    assert gradient.abs().max() > 0
    assert torch.isfinite(gradient).all()
    step = inverted.detach() - 0.01 * gradient / gradient.abs().max()
    assert ms_ssim_loss(step, clean.float()) < loss


def test_gradient_passes_gradcheck():
    noisy, clean = images(24, 26)
    noisy.requires_grad_()
    assert torch.autograd.gradcheck(lambda image: ms_ssim(image, clean, num_scales=2), noisy)


def test_floor_continues_the_identity_with_the_same_value_and_slope():
    at_floor = torch.tensor([FLOOR - 1e-9, FLOOR + 1e-9], dtype=torch.float64, requires_grad=True)
    value = keep_positive(at_floor)
    (slope,) = torch.autograd.grad(value.sum(), at_floor)
    assert torch.allclose(value, at_floor, atol=1e-12)
    assert torch.allclose(slope, torch.ones(2, dtype=torch.float64), atol=1e-5)


def test_floor_keeps_order_and_sign_down_to_minus_one():
    means = torch.linspace(-1, 1, 201, dtype=torch.float64)
    kept = keep_positive(means)
    assert (kept > 0).all()
    assert (kept.diff() > 0).all()


def test_each_image_of_a_batch_is_scored_alone():
    first, second = images(176, 176), images(176, 176, noise=0.3)
    batch = ms_ssim(torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]))
    alone = torch.cat([ms_ssim(*first), ms_ssim(*second)])
    assert torch.allclose(batch, alone, rtol=1e-12)


def test_halving_an_odd_image_keeps_a_constant_constant():
    assert torch.equal(halve(torch.full((1, 1, 5, 7), 0.7)), torch.full((1, 1, 3, 4), 0.7))


def test_smallest_side_is_the_size_at_which_it_starts_to_work():
    side = smallest_side(5)
    assert ms_ssim(*images(side, side)).isfinite().all()
    with pytest.raises(
        ImageSizeError,
        match=f"at least {side} pixels a side, got {side - 1}.*num_scales=4\\) or auto",
    ):
        ms_ssim(*images(side - 1, 400))


def test_auto_uses_as_many_scales_as_fit_and_their_weights_sum_to_one():
    assert len(scale_weights(160, "auto")) == 4
    assert sum(scale_weights(160, "auto")) == pytest.approx(1.0)
    assert scale_weights(161, "auto") == list(WEIGHTS)
    noisy, clean = images(64, 64)
    assert ms_ssim(noisy, clean, num_scales="auto") == ms_ssim(noisy, clean, num_scales=3)


@pytest.mark.parametrize("num_scales", [0, 6, -1])
def test_a_number_of_scales_that_does_not_exist_is_refused(num_scales):
    with pytest.raises(ParameterError, match="num_scales is .*, expected 1 to 5 scales"):
        ms_ssim(*images(176, 176), num_scales=num_scales)


def test_images_of_different_shape_are_refused():
    with pytest.raises(ImageSizeError, match=r"\(1, 1, 200, 200\) and \(1, 1, 200, 201\)"):
        ms_ssim(torch.zeros(1, 1, 200, 200), torch.zeros(1, 1, 200, 201))


def test_an_image_smaller_than_the_window_is_refused():
    with pytest.raises(
        ImageSizeError, match="at least 11 pixels a side, got 10; use larger images"
    ):
        ms_ssim(*images(10, 10), num_scales="auto")
