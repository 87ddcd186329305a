"""Both ways to blur, against the definition's blur and its transpose by autograd."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.loss import ms_ssim
from radenhance.loss.blur import Additions, Convolutions, blur_for

BLURS = {
    "additions": lambda like: Additions(),
    "convolutions": lambda like: Convolutions([3], ms_ssim.gaussian_window(like)),
}


@pytest.fixture(params=BLURS)
def blur(request):
    return BLURS[request.param](torch.zeros((), dtype=torch.float64))


def maps(rows, columns):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, rows, columns, generator=generator, dtype=torch.float64)


def test_the_mean_is_that_of_the_definition(blur):
    image = maps(17, 23)
    assert torch.allclose(blur.mean(image), ms_ssim.blur(image), rtol=1e-14)


def test_an_offset_is_added_to_each_map(blur):
    image, offset = maps(12, 13), torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    expected = blur.mean(image) + offset[:, None, None]
    assert torch.allclose(blur.mean(image, offset), expected, rtol=1e-14)


def test_spreading_is_the_transpose_of_the_mean(blur):
    image, values = maps(17, 23).requires_grad_(), maps(7, 13)
    (transposed,) = torch.autograd.grad(ms_ssim.blur(image), image, values)
    assert torch.allclose(blur.spread(values), transposed, rtol=1e-13, atol=1e-16)


def test_a_plan_counts_the_convolutions_of_a_gpu():
    assert isinstance(blur_for(torch.zeros(1), [3], torch.float32), Additions)
    with FakeTensorMode():
        assert isinstance(blur_for(torch.zeros(1), [3], torch.float32), Convolutions)
