"""Statistics of a map that is seen in bands."""

import torch

from radenhance.memory.banding.batch_norm import Moments


def test_moments_are_exact_although_the_first_band_is_unlike_the_others():
    values = torch.cat([torch.full((1, 2, 4, 50), 1e3), torch.randn(1, 2, 396, 50)], dim=2)
    moments = Moments()
    for band in values.split(4, dim=2):
        moments.add(band)
    mean, variance = moments.mean_and_variance()
    exact = values.double().transpose(0, 1).flatten(1)
    assert torch.allclose(mean, exact.mean(1), rtol=1e-6, atol=0)
    assert torch.allclose(variance, exact.var(1, correction=0), rtol=1e-6, atol=0)
