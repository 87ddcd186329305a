"""The maps of a banded decoder stage, from the tensors that it computes with.

z1 and z2 are drawn in `decoder.py`; rows of each are computed from rows of the map before it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from radenhance.memory.banding.bands import Rows
from radenhance.memory.banding.batch_norm import Normalization
from radenhance.memory.banding.convolution import convolve, upsample_and_convolve, upsampling_kernel
from radenhance.memory.banding.stem import StemInputs


class StageInputs(NamedTuple):
    """All tensors that a stage computes with, or their gradients.

    `skip` is the image where the stage computes its skip from it by itself, with the stem's
    parameters.
    """

    features: Tensor
    skip: Tensor | None
    first_weight: Tensor
    stem_weight: Tensor | None
    stem_gamma: Tensor | None
    stem_beta: Tensor | None
    first_gamma: Tensor
    first_beta: Tensor
    second_weight: Tensor
    second_gamma: Tensor
    second_beta: Tensor
    head_weight: Tensor | None
    head_bias: Tensor | None

    @property
    def stem(self) -> StemInputs:
        """The inputs of the stem."""
        image, weight, gamma, beta = self.skip, *self[3:6]
        assert image is not None
        assert weight is not None
        assert gamma is not None
        assert beta is not None
        return StemInputs(image, weight, gamma, beta)

    @property
    def before_first_norm(self) -> tuple[Tensor | None, ...]:
        """The inputs that z1 is made of."""
        return self[:6]

    @property
    def before_second_norm(self) -> tuple[Tensor | None, ...]:
        """The inputs that z2 is made of."""
        return self[:9]


def first_map(inputs: StageInputs, small: Rows, skip: Rows | None, dtype: torch.dtype) -> Rows:
    """Return z1.

    Args:
        inputs: The tensors of the stage.
        small: The small map.
        skip: The map beside the upsampled one, of as many rows, if there is one.
        dtype: The dtype of the computation.
    """
    weight = inputs.first_weight.to(dtype)
    num_small = inputs.features.shape[1]
    kernel = upsampling_kernel(weight[:, :num_small])

    def within(first: int, last: int) -> Tensor:
        small_first, small_last = first // 2, -(-last // 2)
        band = upsample_and_convolve(small(small_first - 1, small_last + 1), kernel)
        band = band[:, :, first - 2 * small_first :][:, :, : last - first]
        if skip is None:
            return band.contiguous()
        return convolve(skip(first - 1, last + 1), weight[:, num_small:]).add_(band)

    return Rows(2 * small.num_rows, within)


def second_map(first: Rows, norm: Normalization, weight: Tensor) -> Rows:
    """Return z2.

    Args:
        first: z1.
        norm: The norm from z1 to r1.
        weight: The weight of the second convolution.
    """
    activated = first.then(norm.activated)
    return Rows(first.num_rows, lambda a, b: convolve(activated(a - 1, b + 1), weight))


def image_map(activated: Rows, inputs: StageInputs, dtype: torch.dtype) -> Rows:
    """Return the network's output.

    Args:
        activated: The output of the last stage.
        inputs: The tensors of the stage, with those of the head.
        dtype: The dtype of the computation.
    """
    assert inputs.head_weight is not None
    weight = inputs.head_weight.to(dtype)
    bias = None if inputs.head_bias is None else inputs.head_bias.to(dtype)
    return Rows(activated.num_rows, lambda a, b: convolve(activated(a - 1, b + 1), weight, bias))
