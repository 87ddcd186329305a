r"""The stem of a ResNet in bands of rows, its map never stored.

    image -- conv 7x7, stride 2 -- z0 -|norm|- ReLU -- f0 -- max 3x3, stride 2 -- layer1
                                                      \------ skip ------ decoder3

f0 is the largest map of the encoder, the first to be made and the last to be needed: 1 GiB at
4096 px. The image that it comes from is 1/16 of it, and a convolution of one channel costs little.
So only the statistics of the norm are kept, and both readers of f0 compute its bands when they need
them.

Of the gradient of f0 neither share is stored either. The backward pass of norm and convolution is
linear in it once the statistics are fixed, so each reader brings its share to the stem's weights by
itself, in two passes over bands (`StemMap.gradients`), and autograd adds up the weights' gradients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.memory.banding.bands import Rows, Strips, bands, fill, remembered, stored
from radenhance.memory.banding.batch_norm import Normalization, Statistics, observe
from radenhance.memory.banding.convolution import compute_dtype
from radenhance.memory.banding.gradients import norm_sums, relu_gradient, through_norm
from radenhance.memory.banding.neighbours import ALONE, IMAGE, SKIP, Neighbours
from radenhance.rows.operators import by_hand, not_by_rows


class StemInputs(NamedTuple):
    """The tensors that a stem computes with, or their gradients."""

    image: Tensor
    weight: Tensor
    gamma: Tensor
    beta: Tensor


@dataclass
class BandedStem:
    """A stem during one run of a network.

    Args:
        convolution: A 7x7 convolution of stride 2, padding 3, without bias.
        norm: The BatchNorm after it.
        band_rows: A function that gives the rows of a band for the shape (N, C, H, W) of z0.
        statistics: The statistics that the norm uses in this run, once they are known.
        neighbours: The other processes that have rows of the image, in this run.
        strips: Rows of the image beside this process's.
    """

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    band_rows: Callable[[tuple[int, ...]], int]
    statistics: Statistics | None = None
    neighbours: Neighbours = ALONE
    strips: Strips | None = None

    def pooled(self, image: Tensor) -> Tensor:
        """Return the input of the encoder's first block, shape (N, C, H / 4, W / 4)."""
        dtype = compute_dtype(image, self.convolution.weight)
        with torch.autocast(image.device.type, enabled=False), by_hand() as share:
            self.neighbours = Neighbours(share)
            self.strips = self.neighbours.strips(image, IMAGE)
            result: Tensor = _Pooled.apply(self, dtype, *self.inputs(image))
        return result

    def inputs(self, image: Tensor) -> StemInputs:
        """Return the image and the stem's parameters."""
        return StemInputs(image, self.convolution.weight, self.norm.weight, self.norm.bias)

    def pool(self, inputs: StemInputs, dtype: torch.dtype) -> Tensor:
        """Return what `pooled` does, without a graph."""
        maps = self.map(inputs, dtype)
        return fill(_pool(maps.activated), max(1, maps.band_rows // 2))

    def pooled_gradients(
        self, inputs: StemInputs, dtype: torch.dtype, of_pooled: Tensor, wanted: StemInputs
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs, those of parameters in float64.

        Args:
            inputs: The inputs.
            dtype: The dtype of the computation.
            of_pooled: The gradient of what `pool` returned.
            wanted: Whether the gradient of each input is wanted.
        """
        maps = self.map(inputs, dtype)
        rows = stored(of_pooled, dtype, self.neighbours.strips(of_pooled, (0, 1)))
        return maps.gradients(_pool_gradient(rows, maps.activated), wanted)

    def map(self, inputs: StemInputs, dtype: torch.dtype) -> "StemMap":
        """Return z0 and f0, in `dtype`; the first time the norm sees all of z0."""
        weight = inputs.weight.to(dtype)
        image = stored(inputs.image, dtype, self.strips)
        num_rows = (image.num_rows + 1) // 2
        reach = self.neighbours.reach(num_rows, SKIP[0])
        before = remembered(Rows(num_rows, lambda a, b: _convolve(image, weight, a, b), *reach))
        batch, _, _, columns = inputs.image.shape
        band_rows = self.band_rows((batch, len(weight), before.num_rows, (columns + 1) // 2))
        if self.statistics is None:
            self.statistics, _ = observe(
                self.norm, before, band_rows, store=False, neighbours=self.neighbours
            )
        gamma, beta = (tensor.to(self.statistics.mean.dtype) for tensor in inputs[2:])
        norm = Normalization(self.statistics, gamma, beta, self.norm.eps)
        return StemMap(image, weight, before, norm, band_rows, self.neighbours)


@dataclass(frozen=True)
class StemMap:
    """The maps of a stem, whose rows are computed on demand.

    Args:
        image: The image, in the dtype of the computation.
        weight: The weight of the convolution, likewise.
        before: z0.
        norm: The norm from z0 to f0.
        band_rows: Rows of a band of both.
        neighbours: The other processes that have rows of the image.
    """

    image: Rows
    weight: Tensor
    before: Rows
    norm: Normalization
    band_rows: int
    neighbours: Neighbours

    @property
    def activated(self) -> Rows:
        """The map f0."""
        return self.before.then(self.norm.activated)

    def gradients(
        self, of_activated: Rows, wanted: StemInputs
    ) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
        """Return a share of the gradients of all inputs, those of parameters in float64.

        Args:
            of_activated: A share of the gradient of f0.
            wanted: Whether the gradient of each input is wanted.
        """
        of_norm = relu_gradient(of_activated, self.before, self.norm)
        of_gamma, of_beta = sums = norm_sums(of_norm, self.before, self.norm, self.band_rows)
        total = self.neighbours.add_up(sums)
        of_before = through_norm(of_norm, self.before, self.norm, total)
        of_image = of_weight = None
        if wanted.weight:
            of_weight = self._weight_gradient(of_before)
        if wanted.image:
            of_image = self._image_gradient(of_before)
        return of_image, of_weight, of_gamma, of_beta

    def _weight_gradient(self, of_before: Rows) -> Tensor:
        total = torch.zeros_like(self.weight, dtype=torch.float64)
        for first, last in bands(self.before.num_rows, self.band_rows):
            total += torch.ops.aten.convolution_backward(
                of_before(first, last), _seen(self.image, first, last), self.weight, None, [2, 2],
                [0, 3], [1, 1], False, [0, 0], 1, [False, True, False],
            )[1]  # fmt: skip
        return total

    def _image_gradient(self, of_before: Rows) -> Tensor:
        """Return the share of the image's gradient: wanted of an image that was itself learned."""
        if self.neighbours.share is not None:
            raise not_by_rows("the gradient of the image, in bands,")
        image = self.image(0, self.image.num_rows)
        total = torch.zeros_like(F.pad(image, (0, 0, 3, 3)))
        for first, last in bands(self.before.num_rows, self.band_rows):
            total[:, :, 2 * first : 2 * last + 5] += torch.ops.aten.convolution_backward(
                of_before(first, last), _seen(self.image, first, last), self.weight, None, [2, 2],
                [0, 3], [1, 1], False, [0, 0], 1, [True, False, False],
            )[0]  # fmt: skip
        return total[:, :, 3 : 3 + image.shape[2]]


class _Pooled(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, stem: BandedStem, dtype: torch.dtype, *tensors: Any) -> Tensor:
        inputs = StemInputs(*tensors)
        ctx.stem, ctx.dtype = stem, dtype
        ctx.save_for_backward(*inputs)
        return stem.pool(inputs, dtype)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs = StemInputs(*ctx.saved_tensors)
        with torch.autocast(gradients[0].device.type, enabled=False):
            wanted = StemInputs(*ctx.needs_input_grad[2:])
            result = ctx.stem.pooled_gradients(inputs, ctx.dtype, gradients[0], wanted)
        typed = (
            None if gradient is None else gradient.to(tensor.dtype)
            for gradient, tensor in zip(result, inputs, strict=True)
        )
        return None, None, *typed


def _convolve(image: Rows, weight: Tensor, first: int, last: int) -> Tensor:
    """Return rows [first, last) of z0."""
    return F.conv2d(_seen(image, first, last), weight, stride=2, padding=(0, 3))


def _seen(image: Rows, first: int, last: int) -> Tensor:
    """Return the image's rows that rows [first, last) of z0 see."""
    return image(2 * first - 3, 2 * last + 2)


def _pool(activated: Rows) -> Rows:
    """Return the maxima of 3x3 windows of stride 2, of a map without negative values.

    Beyond its edges zeros stand for what pooling leaves out: no maximum is less.
    """

    def within(first: int, last: int) -> Tensor:
        return F.max_pool2d(activated(2 * first - 1, 2 * last), 3, 2, (0, 1))

    return Rows((activated.num_rows + 1) // 2, within)


def _pool_gradient(of_pooled: Rows, activated: Rows) -> Rows:
    """Return the gradient of what `_pool` gets; where that is zero it may be any number."""

    def within(first: int, last: int) -> Tensor:
        above, below = first // 2, last // 2 + 1
        rows = activated(2 * above - 1, 2 * below)
        window = ([3, 3], [2, 2], [0, 1])
        _, places = torch.ops.aten.max_pool2d_with_indices(rows, *window)
        gradient: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            of_pooled(above, below), rows, *window, [1, 1], False, places
        )
        start = first - (2 * above - 1)
        return gradient[:, :, start : start + last - first].contiguous()

    return Rows(activated.num_rows, within)
