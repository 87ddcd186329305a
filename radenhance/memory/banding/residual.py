r"""A layer of a ResNet in bands of rows, of which nothing but the input is kept.

    x -- conv -- z1 -|norm|- ReLU -- conv -- z2 -|norm|- + -- ReLU -- the next block
     \_________ or conv -- zs -|norm|- __________________/

Each | is a barrier in the forward pass, which stores z1 and z2 of one block at a time. It keeps the
statistics of all norms, so that the backward pass can make the maps again without barriers: those
of all blocks once, or, of a layer whose maps are large, first what the blocks give, and then the
maps of each block a second time. What is between the maps (norm, sum and ReLU) is computed of a
band whenever it is needed; autograd would keep that too. Then, from the last block to the first,

    1  the gradient of the block's output becomes that of its sum; the sums of its last norms
    2  z2 becomes the gradient of what the first norm gives; the sums of the first norm
    3  the gradients of the first convolution's weight and of the input, which that of the sum
       becomes where the sum is of the input

A layer that begins after a banded stem (`stem.py`) keeps the image, and makes its input from it
again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from radenhance.memory.banding.bands import Rows, Stored, bands, fill, stored
from radenhance.memory.banding.batch_norm import Normalization, Statistics, observe
from radenhance.memory.banding.convolution import (
    compute_dtype,
    convolve,
    input_gradient,
    strided_input_gradient,
    weight_gradient,
)
from radenhance.memory.banding.gradients import (
    second_convolution_gradients,
    through_norm,
    zeros,
)
from radenhance.memory.banding.stem import BandedStem, StemInputs
from radenhance.network.stages import Part
from radenhance.rows.operators import by_hand


class NormedConvolution(NamedTuple):
    """A convolution without bias, and the norm after it."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight, gamma and beta."""
        return self.convolution.weight, self.norm.weight, self.norm.bias


@dataclass(frozen=True)
class ResidualBlock:
    """The layers of a residual block.

    Args:
        first: A 3x3 convolution of stride 1 or 2.
        second: A 3x3 convolution of stride 1.
        shortcut: A 1x1 convolution of the first one's stride, where the sum is not of the input.
    """

    first: NormedConvolution
    second: NormedConvolution
    shortcut: NormedConvolution | None = None

    @property
    def stride(self) -> int:
        """Rows of the input per row of the output."""
        return self.first.convolution.stride[0]

    @property
    def layers(self) -> tuple[NormedConvolution, ...]:
        """All layers: first, second, and the shortcut if there is one."""
        some = (self.first, self.second, self.shortcut)
        return tuple(layer for layer in some if layer is not None)


@dataclass(frozen=True)
class BandedLayer:
    """A layer of residual blocks that runs in bands.

    Args:
        blocks: The blocks in order; none but the first one has a shortcut.
        band_rows: A function that gives the rows of a band for the shape (N, C, H, W) of z1.
        otherwise: What runs where no gradient is wanted, and where a process has some rows of the
            image alone: the same function of the same input.
        before: What the input goes through first, if anything and not a stem.
        stem: The stem that gives the layer its input, if that is to be computed here.
        keeps_maps: Whether the backward pass keeps the maps of all blocks while it needs them; if
            not, it keeps what the blocks give, and computes the maps of each block a second time.
        owns_gradient: Whether the backward pass may write over the gradient of the output.
    """

    blocks: tuple[ResidualBlock, ...]
    band_rows: Callable[[tuple[int, ...]], int]
    otherwise: Part
    before: Part | None = None
    stem: BandedStem | None = None
    keeps_maps: bool = True
    owns_gradient: bool = False

    def __call__(self, features: Tensor) -> Tensor:
        """Return the layer's output.

        Args:
            features: Shape (N, C, H, W); or the image, from which `stem` computes it.
        """
        parameters = [p for b in self.blocks for layer in b.layers for p in layer.parameters]
        wanted = features.requires_grad or any(p.requires_grad for p in parameters)
        with by_hand() as share:
            is_whole = share is None
        if not (is_whole and wanted and torch.is_grad_enabled()):
            return _as_tensor(self.otherwise(features))
        if self.before is not None:
            features = _as_tensor(self.before(features))
        stem: tuple[Tensor | None, ...] = (None, None, None)
        if self.stem is not None:
            stem = self.stem.inputs(features)[1:]
        dtype = compute_dtype(features, parameters[0])
        with torch.autocast(features.device.type, enabled=False):
            output: Tensor = _Layer.apply(self, dtype, features, *stem, *parameters)
        return output


@dataclass(frozen=True)
class _Maps:
    """The maps of a block: z1, z2 and perhaps zs in memory, and what they are normalised by."""

    before: Stored
    convolved: Sequence[Stored]
    norms: Sequence[Normalization]
    band_rows: int

    @property
    def output(self) -> Rows:
        """What the block gives."""

        def within(first: int, last: int) -> Tensor:
            total = self.norms[1].normalized(self.convolved[1](first, last))
            if len(self.norms) == 2:
                total += self.before(first, last)
            else:
                total += self.norms[2].normalized(self.convolved[2](first, last))
            return total.relu_()

        return Rows(self.convolved[1].num_rows, within)

    def filled_output(self, *, in_place: bool = True) -> Tensor:
        """Return what the block gives, in memory; in place of z2 unless that is still needed."""
        into = self.convolved[1].whole if in_place else None
        return fill(self.output, self.band_rows, into=into)


class _Layer(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, layer: BandedLayer, dtype: torch.dtype, *tensors: Any) -> Tensor:
        ctx.layer, ctx.dtype = layer, dtype
        ctx.save_for_backward(*tensors)
        ctx.statistics = []
        features = _input(layer, dtype, tensors)
        for block, parameters in _by_blocks(layer, tensors):
            maps = _maps(layer, block, parameters, stored(features, dtype), dtype)
            ctx.statistics.append([norm.statistics for norm in maps.norms])
            features = maps.filled_output()
        return features

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        layer, tensors, (gradient,) = ctx.layer, ctx.saved_tensors, gradients
        with torch.autocast(gradient.device.type, enabled=False):
            if not (layer.owns_gradient and gradient.is_contiguous()):
                gradient = gradient.clone(memory_format=torch.contiguous_format)
            result = _backward(ctx, tensors, gradient.to(ctx.dtype))
        typed = (
            None if gradient is None else gradient.to(tensor.dtype)
            for gradient, tensor in zip(result, tensors, strict=True)
        )
        return None, None, *typed


def _backward(ctx: Any, tensors: Sequence[Tensor], of_output: Tensor) -> list[Tensor | None]:
    """Return the gradients of all inputs, by the passes of the module's docstring."""
    layer, dtype = ctx.layer, ctx.dtype
    by_blocks = list(_by_blocks(layer, tensors))
    features, wanted = _input(layer, dtype, tensors), any(ctx.needs_input_grad[2:6])
    of_parameters: list[Tensor] = []

    def maps_of(index: int, before: Stored) -> _Maps:
        return _maps(layer, *by_blocks[index], before, dtype, ctx.statistics[index])

    inputs, all_maps = [stored(features, dtype)], []
    for index in range(len(by_blocks)):
        maps: _Maps | None = maps_of(index, inputs[index])
        assert maps is not None
        is_last = index == len(by_blocks) - 1
        all_maps.append(maps if is_last or layer.keeps_maps else None)
        if not is_last:
            inputs.append(stored(maps.filled_output(in_place=not layer.keeps_maps)))
    output: Rows | None = None
    for index in reversed(range(len(by_blocks))):
        block, parameters = by_blocks[index]
        before, maps = inputs.pop(), all_maps.pop()
        maps = maps or maps_of(index, before)
        weights = [weight.to(dtype) for weight, _, _ in parameters]
        of_output, *of_block = _block_gradients(
            block, weights, maps, output or maps.output, of_output, wanted=wanted or index > 0
        )
        of_parameters = [*of_block, *of_parameters]
        output = before
        maps = None  # before those of the block before it are there
    if layer.stem is None:
        return [of_output if wanted else None, None, None, None, *of_parameters]
    of_stem: Sequence[Tensor | None] = [None] * 4
    if wanted:
        of_all, which = StemInputs(*tensors[:4]), StemInputs(*ctx.needs_input_grad[2:6])
        of_stem = layer.stem.pooled_gradients(of_all, dtype, of_output, which)
    return [*of_stem, *of_parameters]


def _maps(
    layer: BandedLayer,
    block: ResidualBlock,
    parameters: Sequence[Sequence[Tensor]],
    before: Stored,
    dtype: torch.dtype,
    known: Sequence[Statistics] | None = None,
) -> _Maps:
    """Return the maps of a block.

    Args:
        layer: The layer.
        block: The block.
        parameters: The parameters of its layers.
        before: Its input.
        dtype: The dtype of the computation.
        known: The statistics of its norms, if they have seen the maps.
    """
    batch, _, *sides = before.whole.shape
    rows, columns = (-(-side // block.stride) for side in sides)
    band_rows = layer.band_rows((batch, len(parameters[0][0]), rows, columns))
    weights = [weight.to(dtype) for weight, _, _ in parameters]
    maps: list[Stored] = []
    norms: list[Normalization] = []
    for i, one in enumerate(block.layers):
        if i == 0:
            convolved = _convolved(before, weights[0], block.stride, rows)
        elif i == 1:
            convolved = _convolved(maps[0].then(norms[0].activated), weights[1], 1, rows)
        else:
            convolved = _subsampled_and_convolved(before, weights[2], block.stride, rows)
        if known is None:
            statistics, z = observe(one.norm, convolved, band_rows, store=True)
        else:
            statistics, z = known[i], stored(fill(convolved, band_rows))
        assert isinstance(z, Stored)
        gamma, beta = (tensor.to(statistics.mean.dtype) for tensor in parameters[i][1:])
        maps.append(z)
        norms.append(Normalization(statistics, gamma, beta, one.norm.eps))
    return _Maps(before, maps, norms, band_rows)


def _convolved(before: Rows, weight: Tensor, stride: int, num_rows: int) -> Rows:
    return Rows(num_rows, lambda a, b: convolve(_seen(before, a, b, stride), weight, stride=stride))


def _subsampled_and_convolved(before: Rows, weight: Tensor, stride: int, num_rows: int) -> Rows:
    return Rows(num_rows, lambda a, b: F.conv2d(_subsampled(before, a, b, stride), weight))


def _block_gradients(
    block: ResidualBlock,
    weights: Sequence[Tensor],
    maps: _Maps,
    output: Rows,
    of_output: Tensor,
    *,
    wanted: bool,
) -> list[Tensor]:
    """Return the gradients of the input, then those of all parameters, layer by layer.

    Args:
        block: The block.
        weights: The weights of its convolutions.
        maps: Its maps; z2 is written over.
        output: What it gives.
        of_output: The gradient of that; it is written over.
        wanted: Whether the gradient of the input is wanted; if not, any tensor stands for it.
    """
    first_map, second_map, *shortcut_map = maps.convolved
    band_rows, norms, of_sum = maps.band_rows, maps.norms, stored(of_output)
    sums = [zeros(2, len(weights[0]), like=of_output) for _ in norms[1:]]
    for first, last in bands(first_map.num_rows, band_rows):
        band = of_output[:, :, first:last].masked_fill_(output(first, last) <= 0, 0)
        for total, norm, z in zip(sums, norms[1:], maps.convolved[1:], strict=True):
            total += norm.gradient_sums(band, z(first, last))
    of_second_weight, first_sums, _ = second_convolution_gradients(
        through_norm(of_sum, second_map, norms[1], sums[0]), first_map, norms[0], weights[1],
        into=second_map.whole, band_rows=band_rows,
    )  # fmt: skip
    of_first = through_norm(stored(second_map.whole), first_map, norms[0], first_sums)
    of_input, of_first_weight = _input_gradients(
        of_first, of_output, maps.before, weights[0], block.stride, band_rows,
        is_sum=block.shortcut is None, wanted=wanted,
    )  # fmt: skip
    result = [of_input, of_first_weight, *first_sums, of_second_weight, *sums[0]]
    if block.shortcut is not None:
        of_shortcut = through_norm(of_sum, shortcut_map[0], norms[2], sums[1])
        of_shortcut_weight = _shortcut_gradients(
            of_shortcut, of_input, maps.before, weights[2], block.stride, band_rows, wanted=wanted
        )
        result += [of_shortcut_weight, *sums[1]]
    return result


def _input_gradients(
    of_first: Rows,
    of_sum: Tensor,
    before: Rows,
    weight: Tensor,
    stride: int,
    band_rows: int,
    *,
    is_sum: bool,
    wanted: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the block's input and of the first convolution's weight.

    Args:
        of_first: dz1.
        of_sum: The gradient of the sum, to which that of the input is added if the sum is of it.
        before: The input.
        weight: The weight.
        stride: The convolution's stride.
        band_rows: Rows of a band of dz1.
        is_sum: Whether the sum is of the input itself.
        wanted: Whether the gradient of the input is wanted.
    """
    of_weight = zeros(*weight.shape, like=weight)
    of_input = of_sum if is_sum else None
    for first, last in bands(of_first.num_rows, band_rows):
        gradient = of_first(first - 1, last + 1)
        seen = _seen(before, first, last, stride)
        of_weight += weight_gradient(seen, gradient[:, :, 1:-1], weight, stride)
        if not wanted:
            continue
        if stride == 1:
            band = input_gradient(gradient, weight)
        else:
            band = strided_input_gradient(gradient[:, :, 1:], weight, seen.shape[3])
        if is_sum:
            of_sum[:, :, first:last] += band
            continue
        if of_input is None:
            of_input = band.new_empty(*band.shape[:2], before.num_rows, band.shape[3])
        rows = of_input[:, :, stride * first : stride * last]
        rows[:] = band[:, :, : rows.shape[2]]
    return of_sum if of_input is None else of_input, of_weight


def _shortcut_gradients(
    of_shortcut: Rows,
    of_input: Tensor,
    before: Rows,
    weight: Tensor,
    stride: int,
    band_rows: int,
    *,
    wanted: bool,
) -> Tensor:
    """Add the shortcut's share to the gradient of the input; return that of its weight."""
    of_weight = zeros(*weight.shape, like=weight)
    for first, last in bands(of_shortcut.num_rows, band_rows):
        gradient = of_shortcut(first, last)
        of_weight += weight_gradient(_subsampled(before, first, last, stride), gradient, weight)
        if wanted:
            rows = of_input[:, :, stride * first : stride * last : stride, ::stride]
            rows += F.conv2d(gradient, weight.transpose(0, 1))
    return of_weight


def _as_tensor(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    assert isinstance(result, Tensor)
    return result


def _input(layer: BandedLayer, dtype: torch.dtype, tensors: Sequence[Any]) -> Tensor:
    """Return the input of the first block."""
    if layer.stem is None:
        features: Tensor = tensors[0]
        return features
    return layer.stem.pool(StemInputs(*tensors[:4]), dtype)


def _by_blocks(
    layer: BandedLayer, tensors: Sequence[Tensor]
) -> Iterator[tuple[ResidualBlock, list[Sequence[Tensor]]]]:
    """Yield each block with the parameters of its layers."""
    start = 4
    for block in layer.blocks:
        count = len(block.layers)
        yield block, [tensors[start + 3 * i : start + 3 * i + 3] for i in range(count)]
        start += 3 * count


def _seen(rows: Rows, first: int, last: int, stride: int) -> Tensor:
    """Return the rows that rows [first, last) of a 3x3 convolution's output see."""
    return rows(stride * first - 1, stride * last + 2 - stride)


def _subsampled(rows: Rows, first: int, last: int, stride: int) -> Tensor:
    """Return the pixels that rows [first, last) of a 1x1 convolution's output see."""
    return rows(stride * first, stride * last)[:, :, ::stride, ::stride]
