"""A decoder stage, and the head after the last one, in bands of rows: forward and backward pass.

    small map -upsampled--.
                          +-- conv -- z1 -|norm|- ReLU -- conv -- z2 -|norm|- ReLU (-- head)
    skip -----------------'

Neither the upsampled map, nor the concatenation, nor what a norm or a ReLU gives is made at full
size. Each | is a barrier: the statistics of the whole image, and in the backward pass the two sums
of a BatchNorm's gradient, take a pass over all bands of their own.

    forward     1  z1, for the statistics of the first norm
                2  z2, kept, and the statistics of the second norm
                3  the output
    backward    1  the sums of the second norm; the head's gradients
                2  z2 becomes the gradient of what the first norm gives; the sums of the first norm
                3  that becomes the gradient of z1
                4  the gradients of small map, skip and weights

The last stage keeps z2: its output is one channel, and its backward pass follows at once. The
others keep only what they get, and make z1 and z2 again. z1 of the last stage is never stored: it
is the largest map and the cheapest to compute, whenever a band of it is needed. With running
statistics and without gradient there is no barrier, and nothing but the output is stored.

By stages (`keeps_map=False`) the last stage keeps only what it gets too, and stores no map of its
own: each pass computes z1, z2 and their gradients of a band anew, with halos of up to three
rows. The others compute z2 twice, and write its gradient over that of the output.

The gradient of the small map takes the small map's own memory where no one else reads it: where a
banded stage made it. A skip that a banded stem gives (`stem.py`) is the image; f0 and its
gradient are computed in bands.

A convolution of a band needs one row more above and below. Because each convolution's input is
computed anew from the map before it, these halos do not add up to a receptive field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.memory.banding.bands import Rows, Stored, Strips, fill, remembered, stored
from radenhance.memory.banding.batch_norm import (
    Normalization,
    Statistics,
    observe,
    uses_batch_statistics,
)
from radenhance.memory.banding.convolution import compute_dtype
from radenhance.memory.banding.gradients import (
    head_gradients,
    norm_sums,
    relu_gradient,
    second_convolution_gradients,
    second_convolution_gradients_on_demand,
    skip_weight_gradient,
    small_map_gradients,
    through_convolution,
    through_norm,
)
from radenhance.memory.banding.maps import StageInputs, first_map, image_map, second_map
from radenhance.memory.banding.neighbours import SKIP, SMALL, Neighbours
from radenhance.memory.banding.stem import BandedStem
from radenhance.rows.operators import by_hand


@dataclass(frozen=True)
class BandedStage:
    """A decoder stage that runs in bands.

    Args:
        convolutions: Both convolutions, 3x3 without bias.
        norms: The BatchNorm after each convolution.
        head: The 3x3 convolution to the network's output if this is the last stage, else None.
        band_rows: A function that gives the rows of a band, an even number, for the shape
            (N, C, H, W) of z1.
        stem: The stem that gives the stage its skip, if that is to be computed here.
        keeps_map: Whether the last stage keeps z2 for its backward pass.
        owns_features: Whether the backward pass may write over the small map.
        owns_gradient: Whether it may write over the gradient of the output.
    """

    convolutions: tuple[nn.Conv2d, nn.Conv2d]
    norms: tuple[nn.BatchNorm2d, nn.BatchNorm2d]
    head: nn.Conv2d | None
    band_rows: Callable[[tuple[int, ...]], int]
    stem: BandedStem | None = None
    keeps_map: bool = True
    owns_features: bool = False
    owns_gradient: bool = False

    def __call__(self, features: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return the stage's output, or the head's.

        Args:
            features: Shape (N, C, h, w).
            skip: Shape (N, S, 2h, 2w); or the image, from which `stem` computes it.
        """
        if skip is not None and skip.shape[1] == 0:
            skip = None  # some encoders have no map of this size and give one of no channels
        (first, second), (first_norm, second_norm) = self.convolutions, self.norms
        head = (None, None) if self.head is None else (self.head.weight, self.head.bias)
        stem: tuple[Tensor | None, ...] = (None, None, None)
        if self.stem is not None and skip is not None:
            stem = self.stem.inputs(skip)[1:]
        inputs = (
            *(features, skip, first.weight, *stem),
            *(first_norm.weight, first_norm.bias),
            *(second.weight, second_norm.weight, second_norm.bias),
            *head,
        )
        wanted = any(tensor is not None and tensor.requires_grad for tensor in inputs)
        dtype = compute_dtype(features, first.weight)
        differentiable = wanted and torch.is_grad_enabled()
        with torch.autocast(features.device.type, enabled=False), by_hand() as share:
            neighbours = Neighbours(share)
            result: Tensor = _Stage.apply(self, dtype, differentiable, neighbours, *inputs)
        return result


class _Stage(torch.autograd.Function):
    @staticmethod
    @override
    def forward(
        ctx: Any,
        stage: BandedStage,
        dtype: torch.dtype,
        differentiable: bool,
        neighbours: Neighbours,
        *tensors: Any,
    ) -> Tensor:
        inputs = StageInputs(*tensors)
        ctx.stage, ctx.dtype, ctx.neighbours = stage, dtype, neighbours
        ctx.strips = _strips(stage, inputs, neighbours)
        band_rows = stage.band_rows(_shape_of_first(inputs))
        store = stage.head is None and uses_batch_statistics(stage.norms[0])
        first = _first_map(ctx, inputs)
        first_statistics, first = observe(
            stage.norms[0], first, band_rows, store=store, neighbours=neighbours
        )
        norm = _norm(stage, inputs, first_statistics, 0)
        if stage.head is None:
            store = uses_batch_statistics(stage.norms[1])
        else:
            store = stage.keeps_map and (differentiable or uses_batch_statistics(stage.norms[1]))
        second = second_map(first, norm, inputs.second_weight.to(dtype))
        second = second.known(neighbours.reach(second.num_rows, 2))
        second_statistics, second = observe(
            stage.norms[1], second, band_rows, store=store, neighbours=neighbours
        )
        norm = _norm(stage, inputs, second_statistics, 1)
        whole = second.whole if isinstance(second, Stored) else None
        activated = second.then(norm.activated)
        ctx.band_rows = band_rows
        ctx.statistics = first_statistics, second_statistics
        if inputs.head_weight is None:
            ctx.save_for_backward(*inputs, None)
            return fill(activated, band_rows, into=whole)
        ctx.save_for_backward(*inputs, whole)
        return fill(image_map(activated, inputs, dtype), band_rows)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, second = ctx.saved_tensors
        with torch.autocast(gradients[0].device.type, enabled=False):
            strips = ctx.neighbours.strips(gradients[0], (3, 3))
            of_output = stored(gradients[0], ctx.dtype, strips)
            result = _backward(ctx, StageInputs(*tensors), second, of_output)
        typed = (
            None if gradient is None or tensor is None else gradient.to(tensor.dtype)
            for gradient, tensor in zip(result, tensors, strict=True)
        )
        return None, None, None, None, *typed


def _backward(
    ctx: Any, inputs: StageInputs, whole: Tensor | None, of_output: Stored
) -> tuple[Tensor | None, ...]:
    """Return the gradients of all inputs, by the passes of the module's docstring."""
    stage, dtype, band_rows = ctx.stage, ctx.dtype, ctx.band_rows
    neighbours = ctx.neighbours
    wanted = StageInputs(*ctx.needs_input_grad[4:])
    norm = _norm(stage, inputs, ctx.statistics[0], 0)
    second_norm = _norm(stage, inputs, ctx.statistics[1], 1)
    weight = inputs.second_weight.to(dtype)
    first, second, whole = _maps_again(ctx, inputs, norm, weight, whole)
    two = second.above, second.below

    of_head: tuple[Tensor | None, ...] = (None, None)
    of_activated: Rows = of_output
    if inputs.head_weight is not None:
        head = inputs.head_weight.to(dtype)
        activated = second.then(second_norm.activated)
        of_head = head_gradients(activated, of_output, head, band_rows)
        of_activated = through_convolution(of_output, head).known(two)
    of_second_norm = relu_gradient(of_activated, second, second_norm).known(two)
    second_sums = norm_sums(of_second_norm, second, second_norm, band_rows)
    if not any(wanted.before_second_norm):
        return (*(None,) * 9, *second_sums, *of_head)

    total = neighbours.add_up(second_sums)
    of_second = through_norm(of_second_norm, second, second_norm, total).known(two)
    if whole is None and stage.head is None:
        whole = fill(of_second, band_rows, into=of_output.whole)
        of_second = neighbours.with_edges(whole, of_second)
    del second, of_activated, of_second_norm
    of_first, of_second_weight, sums = _first_map_gradient(
        ctx, of_second, first, norm, weight, whole
    )
    of_second_inputs = (of_second_weight, *second_sums)
    if not any(wanted.before_first_norm):
        return (*(None,) * 6, *sums, *of_second_inputs, *of_head)

    del first, norm, of_second  # z1, if it was stored
    of_inputs = _first_convolution_gradients(
        ctx, of_first, inputs, wanted, reads_features=whole is None
    )
    return (*of_inputs, *sums, *of_second_inputs, *of_head)


def _maps_again(
    ctx: Any, inputs: StageInputs, norm: Normalization, weight: Tensor, whole: Tensor | None
) -> tuple[Rows, Rows, Tensor | None]:
    """Return z1 and z2, stored or on demand, and the memory of z2 if it is stored.

    Args:
        ctx: What the forward pass left.
        inputs: The inputs.
        norm: The norm from z1 to r1.
        weight: The weight of the second convolution.
        whole: z2, if it was kept.
    """
    stage, neighbours, band_rows = ctx.stage, ctx.neighbours, ctx.band_rows
    first, is_last = _first_map(ctx, inputs), stage.head is not None
    if not is_last:
        first = neighbours.with_edges(fill(first, band_rows), first)
    elif whole is None:
        first = remembered(first)
    second = second_map(first, norm, weight).known(neighbours.reach(first.num_rows, 2))
    if whole is None and not is_last and (stage.keeps_map or not stage.owns_gradient):
        whole = fill(second, band_rows)
    if whole is None:
        return first, remembered(second), None
    return first, neighbours.with_edges(whole, second), whole


def _first_map_gradient(
    ctx: Any,
    of_second: Rows,
    first: Rows,
    norm: Normalization,
    weight: Tensor,
    whole: Tensor | None,
) -> tuple[Rows, Tensor, Tensor]:
    """Return dz1, and the gradients of the second convolution's weight and of the first norm.

    Args:
        ctx: What the forward pass left.
        of_second: dz2.
        first: z1.
        norm: The norm from z1 to r1.
        weight: The weight of the second convolution.
        whole: The memory that dz1 is written to; on demand if None.
    """
    neighbours, band_rows = ctx.neighbours, ctx.band_rows
    one = neighbours.reach(first.num_rows, 1)
    if whole is None:
        of_norm, of_weight, sums = second_convolution_gradients_on_demand(
            remembered(of_second), first, norm, weight, band_rows
        )
    else:
        of_weight, sums, beside = second_convolution_gradients(
            of_second, first, norm, weight, into=whole, band_rows=band_rows
        )
        of_norm = stored(whole, None, None if neighbours.share is None else beside)
    of_first = through_norm(of_norm, first, norm, neighbours.add_up(sums)).known(one)
    if whole is None:
        return remembered(of_first), of_weight, sums
    of_first = neighbours.with_edges(fill(of_first, band_rows, into=whole), of_first)
    return of_first, of_weight, sums


def _first_convolution_gradients(
    ctx: Any, of_first: Rows, inputs: StageInputs, wanted: StageInputs, *, reads_features: bool
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `StageInputs.before_first_norm`.

    Args:
        ctx: What the forward pass left.
        of_first: dz1.
        inputs: The inputs.
        wanted: Whether the gradient of each input is wanted.
        reads_features: Whether dz1 is computed from the small map.
    """
    stage, dtype, band_rows = ctx.stage, ctx.dtype, ctx.band_rows
    features, num_small = inputs.features, inputs.features.shape[1]
    weight = inputs.first_weight.to(dtype)
    skip = _skip(ctx, inputs)
    beside: list[Tensor] = []
    of_skip: list[Tensor | None] = [None, None, None, None]
    if skip is not None:  # first, as the small map may be written over
        beside = [skip_weight_gradient(of_first, skip, weight[:, num_small:], band_rows)]
        rows = through_convolution(of_first, weight[:, num_small:])
        if stage.stem is None:
            of_skip[0] = fill(rows, band_rows) if wanted.skip else None
        elif any(wanted.stem):
            of_skip = list(stage.stem.map(inputs.stem, dtype).gradients(rows, wanted.stem))
    of_small = None
    if wanted.features:
        of_small = features if stage.owns_features else torch.empty_like(features)
    of_weight = small_map_gradients(
        of_first, features, weight[:, :num_small], band_rows, into=of_small,
        num_read_above=SMALL[0] if reads_features else 0,
    )  # fmt: skip
    of_weight = torch.cat([of_weight, *beside], dim=1)
    return of_small, of_skip[0], of_weight, *of_skip[1:]


def _strips(
    stage: BandedStage, inputs: StageInputs, neighbours: Neighbours
) -> tuple[Strips | None, Strips | None]:
    """Return the rows beside the small map and the skip, from other processes."""
    small = neighbours.strips(inputs.features, SMALL)
    if inputs.skip is None or stage.stem is not None:
        return small, None
    return small, neighbours.strips(inputs.skip, SKIP)


def _first_map(ctx: Any, inputs: StageInputs) -> Rows:
    """Return z1."""
    small = stored(inputs.features, ctx.dtype, ctx.strips[0])
    first = first_map(inputs, small, _skip(ctx, inputs), ctx.dtype)
    return first.known(ctx.neighbours.reach(first.num_rows, 3))


def _skip(ctx: Any, inputs: StageInputs) -> Rows | None:
    """Return the skip, stored or computed from the image."""
    if inputs.skip is None:
        return None
    if ctx.stage.stem is None:
        return stored(inputs.skip, ctx.dtype, ctx.strips[1])
    rows: Rows = ctx.stage.stem.map(inputs.stem, ctx.dtype).activated
    return rows


def _norm(
    stage: BandedStage, inputs: StageInputs, statistics: Statistics, index: int
) -> Normalization:
    """Return the first or the second norm."""
    gamma, beta = inputs[6:8] if index == 0 else inputs[9:11]
    dtype = statistics.mean.dtype
    return Normalization(statistics, gamma.to(dtype), beta.to(dtype), stage.norms[index].eps)


def _shape_of_first(inputs: StageInputs) -> tuple[int, ...]:
    batch, _, rows, columns = inputs.features.shape
    return batch, len(inputs.first_weight), 2 * rows, 2 * columns
