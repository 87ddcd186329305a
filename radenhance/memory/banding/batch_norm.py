"""BatchNorm and ReLU of a whole image that is seen in bands of rows.

The mean and the variance are those of the image: nothing can be normalised before all bands have
been seen, and nothing of the gradient goes below before its two sums over all bands are known.
These are the barriers between the passes of a banded stage. Sums over bands are kept in float64,
so that many bands are no less exact than one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radenhance.compat.torch import batch_norm_parameter_gradients
from radenhance.memory.banding.bands import Rows, bands, fill
from radenhance.memory.banding.neighbours import ALONE, Neighbours


class Moments:
    """Sums over bands that give the mean and the variance of each channel.

    They are sums of differences to a pivot, the mean of the first band. With k bands of equal size
    it is within sqrt(k - 1) standard deviations of the mean of all, however unlike the first band
    is, so that the variance loses no more than a factor k of the sums' precision.
    """

    def __init__(self) -> None:
        self._pivot: Tensor | None = None
        self._sums: Tensor | None = None
        self.num_values = 0

    def add(self, given: Tensor) -> Tensor:
        """Take a band, shape (N, C, H, W), into account, and return it as it is."""
        band = given.to(torch.promote_types(given.dtype, torch.float32))
        num_values = band.shape[0] * band.shape[2] * band.shape[3]
        if self._pivot is None:
            self._pivot = (_sum(band) / num_values).to(band.dtype)
        centred = band - self._pivot[:, None, None]
        sums = torch.stack([_sum(centred), _sum(centred.square_())])
        self._sums = sums if self._sums is None else self._sums + sums
        self.num_values += num_values
        return given

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """Return the mean and the biased variance of all values so far, shape (C,), in float64."""
        assert self._pivot is not None
        assert self._sums is not None
        offset, square = self._sums / self.num_values
        return self._pivot + offset, (square - offset * offset).clamp_min(0)


@dataclass(frozen=True)
class Statistics:
    """What a BatchNorm normalises with.

    Args:
        mean: The mean of each channel, shape (C,), in float32 at least.
        variance: The biased variance, likewise.
        num_values: The number of values that both were computed from; 0 if they are constants, as
            running statistics are, through which no gradient goes.
    """

    mean: Tensor
    variance: Tensor
    num_values: int


@dataclass(frozen=True)
class Normalization:
    """What a BatchNorm does to a value once its statistics are known.

    Args:
        statistics: The mean and the variance.
        weight: gamma, shape (C,).
        bias: beta, shape (C,).
        eps: A number that is added to the variance.
    """

    statistics: Statistics
    weight: Tensor
    bias: Tensor
    eps: float

    def activated(self, band: Tensor) -> Tensor:
        """Return ReLU of the normalised band, in the dtype of `band`."""
        return torch.relu_(self.normalized(band))

    def normalized(self, band: Tensor) -> Tensor:
        """Return the normalised band, in the dtype of `band`."""
        return self._affine(band, self.weight, self.bias)

    def gradient_sums(self, gradient: Tensor, band: Tensor) -> Tensor:
        """Return a band's share of the gradients of weight and bias, shape (2, C), in float64.

        Args:
            gradient: The gradient of the normalised band, before its ReLU.
            band: The band that is normalised.
        """
        mean, variance = self.statistics.mean, self.statistics.variance
        return batch_norm_parameter_gradients(
            gradient, band, self.weight, mean, variance, self.eps
        ).double()

    def input_gradient(self, gradient: Tensor, band: Tensor, sums: Tensor) -> Tensor:
        """Return the gradient of a band that is normalised, in float32 at least.

            gamma / sigma * (gradient - sum_bias / n - normalised band * sum_weight / n)

        Args:
            gradient: The gradient of the normalised band, before its ReLU.
            band: The band that is normalised.
            sums: The sum of `gradient_sums` over all bands.
        """
        num_values = self.statistics.num_values
        slope = self.weight * torch.rsqrt(self.statistics.variance + self.eps)
        direct = gradient * slope[:, None, None]
        if not num_values:
            return direct
        of_weight, of_bias = (-slope * sums / num_values).to(slope.dtype)
        return direct.add_(self._affine(band, of_weight, of_bias))

    def _affine(self, band: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean, variance = self.statistics.mean, self.statistics.variance
        return F.batch_norm(band, mean, variance, weight, bias, eps=self.eps)


def uses_batch_statistics(norm: nn.BatchNorm2d) -> bool:
    """Return whether `norm` now normalises with the statistics of what it gets."""
    return norm.training or norm.running_mean is None


def observe(
    norm: nn.BatchNorm2d,
    before: Rows,
    band_rows: int,
    *,
    store: bool,
    neighbours: Neighbours = ALONE,
) -> tuple[Statistics, Rows]:
    """Return what `norm` normalises with, and the map before it; update it as it does itself.

    Args:
        norm: The norm, which uses statistics of the batch or running ones, as it is set.
        before: The map that it normalises.
        band_rows: Rows of a band.
        store: Whether to return a map in memory instead of `before`.
        neighbours: The other processes that have rows of the map.
    """
    moments = Moments() if uses_batch_statistics(norm) else None
    watched = before if moments is None else before.then(moments.add)
    if store:
        before = neighbours.with_edges(fill(watched, band_rows), before)
    elif moments is not None:
        for first, last in bands(before.num_rows, band_rows):
            watched(first, last)
    if moments is None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return Statistics(norm.running_mean, norm.running_var, 0), before
    mean, variance, num_values = neighbours.combined(
        moments.mean_and_variance(), moments.num_values, before.num_rows
    )
    if norm.training:
        _track(norm, mean, variance * num_values / (num_values - 1))
    dtype = torch.promote_types(norm.weight.dtype, torch.float32)
    return Statistics(mean.to(dtype), variance.to(dtype), num_values), before


def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics and the counter as `norm` itself does in training."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    factor: Tensor | float | None = norm.momentum
    if factor is None:  # the mean over all batches; as a tensor, for a GPU not to be waited on
        factor = norm.num_batches_tracked.reciprocal().to(norm.running_mean.dtype)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), factor)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), factor)


def _sum(band: Tensor) -> Tensor:
    """Return the sum of each channel in float64: of a row in its own dtype."""
    return band.sum(dim=3).sum(dim=(0, 2), dtype=torch.float64)
