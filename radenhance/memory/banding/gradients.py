"""The passes over bands that make up the backward pass of a decoder stage.

Each is a function that returns sums over the image, or turns one map into another in place. z1 and
z2 are what the stage's convolutions give, r1 and r2 what its norms give (ReLU comes after), and
d the gradient of the loss for what follows.
"""

import torch
from torch import Tensor

from radenhance.memory.banding.bands import Rows, Strips, bands, stored
from radenhance.memory.banding.batch_norm import Normalization
from radenhance.memory.banding.convolution import (
    input_gradient,
    kernel_gradient,
    small_input_gradient,
    upsampling_kernel,
    upsampling_kernel_transposed,
    weight_gradient,
)


def relu_gradient(of_output: Rows, before: Rows, norm: Normalization) -> Rows:
    """Return dr from the gradient of ReLU(r), with r the normalised map `before`."""

    def within(first: int, last: int) -> Tensor:
        return _where_positive(of_output(first, last), norm.activated(before(first, last)))

    return Rows(before.num_rows, within)


def norm_sums(of_norm: Rows, before: Rows, norm: Normalization, band_rows: int) -> Tensor:
    """Return the gradients of a norm's weight and bias, shape (2, C), in float64.

    Args:
        of_norm: dr.
        before: z.
        norm: The norm from z to r.
        band_rows: Rows of a band.
    """
    sums = zeros(2, *norm.weight.shape, like=norm.weight)
    for first, last in bands(before.num_rows, band_rows):
        sums += norm.gradient_sums(of_norm(first, last), before(first, last))
    return sums


def through_norm(of_norm: Rows, before: Rows, norm: Normalization, sums: Tensor) -> Rows:
    """Return dz from dr, where `sums` are those of `norm_sums`."""

    def within(first: int, last: int) -> Tensor:
        gradient, band = of_norm(first, last), before(first, last)
        return norm.input_gradient(gradient, band, sums).to(band.dtype)

    return Rows(before.num_rows, within)


def head_gradients(
    activated: Rows, of_output: Rows, weight: Tensor, band_rows: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the head's weight and bias, in float64.

    Args:
        activated: The input of the head.
        of_output: The gradient of its output.
        weight: The weight of the head, 3x3.
        band_rows: Rows of a band.
    """
    of_weight, of_bias = zeros(*weight.shape, like=weight), zeros(len(weight), like=weight)
    for first, last in bands(activated.num_rows, band_rows):
        gradient = of_output(first, last)
        of_weight += weight_gradient(activated(first - 1, last + 1), gradient, weight)
        of_bias += gradient.sum(dim=(0, 2, 3), dtype=torch.float64)
    return of_weight, of_bias


def through_convolution(of_output: Rows, weight: Tensor) -> Rows:
    """Return the gradient of a 3x3 convolution's input from that of its output."""

    def within(first: int, last: int) -> Tensor:
        return input_gradient(of_output(first - 1, last + 1), weight)

    return Rows(of_output.num_rows, within)


def second_convolution_gradients(
    of_second: Rows,
    first_map: Rows,
    norm: Normalization,
    weight: Tensor,
    *,
    into: Tensor,
    band_rows: int,
) -> tuple[Tensor, Tensor, Strips]:
    """Write dr1 and return the gradients of the second convolution's weight and of the first norm.

    The row of dr1 on either side that neighbours have is returned too, where there is one.

    Args:
        of_second: dz2. It may read `into`, of which nothing above the band's first row is read.
        first_map: z1.
        norm: The norm from z1 to r1.
        weight: The weight of the second convolution.
        into: The tensor to write dr1 to: z2's own memory.
        band_rows: Rows of a band.
    """
    of_weight = zeros(*weight.shape, like=weight)
    sums = zeros(2, *norm.weight.shape, like=norm.weight)
    above, num_rows = into.new_zeros(*into.shape[:2], 1, into.shape[3]), first_map.num_rows
    beside = [into[:, :, :0]] * 2
    for side, row, is_known in (0, -1, of_second.above), (1, num_rows, of_second.below):
        if is_known:
            gradient = of_second(row - 1, row + 2)
            activated = norm.activated(first_map(row, row + 1))
            beside[side] = _where_positive(input_gradient(gradient, weight), activated)
    if of_second.above:
        above = of_second(-1, 0)
    for first, last in bands(first_map.num_rows, band_rows):
        gradient = torch.cat([above, of_second(first, last + 1)], dim=2)
        above = gradient[:, :, -2:-1].clone()  # the next band finds dr1 where it would read it
        before = first_map(first - 1, last + 1)
        activated = _inside(norm.activated(before), first - 1, first_map)
        of_weight += weight_gradient(activated, gradient[:, :, 1:-1], weight)
        of_norm = _where_positive(input_gradient(gradient, weight), activated[:, :, 1:-1])
        sums += norm.gradient_sums(of_norm, before[:, :, 1:-1].contiguous())
        into[:, :, first:last] = of_norm
    return of_weight, sums, (beside[0], beside[1])


def second_convolution_gradients_on_demand(
    of_second: Rows, first_map: Rows, norm: Normalization, weight: Tensor, band_rows: int
) -> tuple[Rows, Tensor, Tensor]:
    """Return dr1, of which nothing is stored, and what `second_convolution_gradients` returns.

    Args:
        of_second: dz2.
        first_map: z1.
        norm: The norm from z1 to r1.
        weight: The weight of the second convolution.
        band_rows: Rows of a band.
    """
    of_weight = zeros(*weight.shape, like=weight)
    sums = zeros(2, *norm.weight.shape, like=norm.weight)
    one = min(1, of_second.above), min(1, of_second.below)
    of_activated = through_convolution(of_second, weight).known(one)
    of_norm = relu_gradient(of_activated, first_map, norm).known(one)
    activated = first_map.then(norm.activated)
    for first, last in bands(first_map.num_rows, band_rows):
        gradient = of_norm(first, last)
        of_weight += weight_gradient(activated(first - 1, last + 1), of_second(first, last), weight)
        sums += norm.gradient_sums(gradient, first_map(first, last))
    return of_norm, of_weight, sums


def small_map_gradients(
    of_first: Rows,
    features: Tensor,
    weight: Tensor,
    band_rows: int,
    *,
    into: Tensor | None,
    num_read_above: int = 0,
) -> Tensor:
    """Write the gradient of the small map and return, in float64, that of the weights it meets.

    Args:
        of_first: dz1.
        features: The small map, shape (N, C, h, w).
        weight: The weight of the first convolution, its C channels of input alone.
        band_rows: Rows of a band of dz1, an even number.
        into: The tensor to write the gradient to, if it is wanted; `features` itself will do.
        num_read_above: Rows of `features` above a band that dz1 of the band is computed from.
    """
    kernel = upsampling_kernel(weight)
    small = stored(features, weight.dtype)
    of_kernel = zeros(*kernel.shape, like=kernel)
    waiting: Tensor | None = None
    num_rows = features.shape[2]
    for first, last in bands(num_rows, band_rows // 2):
        gradient = of_first(2 * first - 1, 2 * last + 1)
        of_kernel += kernel_gradient(small(first, last), gradient, kernel)
        if into is None:
            continue
        band = small_input_gradient(gradient, kernel)
        if num_read_above:
            band = band if waiting is None else torch.cat([waiting, band], dim=2)
            start = last - band.shape[2]
            num_ready = max(0, band.shape[2] - (num_read_above if last < num_rows else 0))
            waiting = band[:, :, num_ready:].clone()
            into[:, :, start : start + num_ready] = band[:, :, :num_ready]
        else:
            into[:, :, first:last] = band
    return upsampling_kernel_transposed(of_kernel)


def skip_weight_gradient(of_first: Rows, skip: Rows, weight: Tensor, band_rows: int) -> Tensor:
    """Return the gradient of the weights that the skip meets, in float64.

    Args:
        of_first: dz1.
        skip: The skip, of S channels and as many rows.
        weight: The weight of the first convolution, its S channels of input alone.
        band_rows: Rows of a band.
    """
    of_weight = zeros(*weight.shape, like=weight)
    for first, last in bands(skip.num_rows, band_rows):
        of_weight += weight_gradient(skip(first - 1, last + 1), of_first(first, last), weight)
    return of_weight


def _inside(rows: Tensor, first: int, known: Rows) -> Tensor:
    """Set to zero, in place, those rows of a band from row `first` on that are outside the map."""
    above, end = -known.above - first, known.num_rows + known.below - first
    if above > 0:
        rows[:, :, :above] = 0
    if rows.shape[2] > end:
        rows[:, :, end:] = 0
    return rows


def _where_positive(gradient: Tensor, activated: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.threshold_backward(gradient, activated, 0)
    return result


def zeros(*shape: int, like: Tensor) -> Tensor:
    """Return zeros in float64, for sums over bands, where `like` is."""
    return torch.zeros(shape, dtype=torch.float64, device=like.device)
