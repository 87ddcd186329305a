"""3x3 convolutions of a band of rows, and of an upsampled band, with their gradients.

Upsampling by two to the nearest neighbour and then convolving is *one* transposed convolution of
stride 2: an output pixel sees two rows of the small map, whatever its three taps are.

    output row       2i - 1         2i        2i + 1       2i + 2
    tap of row i       2          1 and 2     0 and 1        0

so the taps that fall on row i add up to a kernel of four rows, and likewise four columns: 4
multiplications per output pixel where there were 9, and neither the upsampled map nor its gradient
is ever made. That is algebra on the weights, exact but for rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(rows: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """Return rows [a, b) of a convolution from its input's rows [sa - 1, sb + 2 - s)."""
    return F.conv2d(rows, weight, bias, stride=stride, padding=(0, 1))


def input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return rows [a, b) of the input's gradient from the output's rows [a - 1, b + 1)."""
    return F.conv2d(gradient, weight.flip(2, 3).transpose(0, 1), padding=(0, 1))


def strided_input_gradient(gradient: Tensor, weight: Tensor, num_columns: int) -> Tensor:
    """Return rows [2a, 2b) of the input's gradient, for stride 2, from the output's [a, b + 1).

    Args:
        gradient: Rows of the output's gradient.
        weight: The weight.
        num_columns: Columns of the input.
    """
    more = num_columns - (2 * gradient.shape[3] - 1)
    rows = F.conv_transpose2d(gradient, weight, stride=2, padding=(0, 1), output_padding=(0, more))
    return rows[:, :, 1:-2]


def weight_gradient(rows: Tensor, gradient: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Return the share of rows [a, b) in the weight's gradient, in float64.

    Args:
        rows: The input's rows [sa - 1, sb + 2 - s), or for a weight of one tap [a, b).
        gradient: The output's rows [a, b).
        weight: The weight, for its shape.
        stride: The convolution's stride s, 1 or 2.
    """
    return _of_weight(rows, gradient, weight, stride=stride)


def upsampling_kernel(weight: Tensor) -> Tensor:
    """Return the kernel (C, O, 4, 4) that upsamples by two and convolves with (O, C, 3, 3).

    It is summed in place, as of a deep stage it is larger than the maps.
    """
    taps = weight.flip(2, 3).transpose(0, 1)
    rows = F.pad(taps, (0, 0, 0, 1))
    rows[:, :, 1:] += taps
    del taps
    kernel = F.pad(rows, (0, 1))
    kernel[:, :, :, 1:] += rows
    return kernel


def upsampling_kernel_transposed(gradient: Tensor) -> Tensor:
    """Return the gradient of the weight (O, C, 3, 3) from that of its upsampling kernel."""
    rows = gradient[:, :, :-1] + gradient[:, :, 1:]
    taps = rows[:, :, :, :-1] + rows[:, :, :, 1:]
    return taps.flip(2, 3).transpose(0, 1)


def upsample_and_convolve(rows: Tensor, kernel: Tensor) -> Tensor:
    """Return rows [2a, 2b) from the small map's rows [a - 1, b + 1)."""
    return F.conv_transpose2d(rows, kernel, stride=2, padding=(3, 1))


def small_input_gradient(gradient: Tensor, kernel: Tensor) -> Tensor:
    """Return rows [a, b) of the small map's gradient from the output's rows [2a - 1, 2b + 1)."""
    return F.conv2d(gradient, kernel, stride=2, padding=(0, 1))


def kernel_gradient(rows: Tensor, gradient: Tensor, kernel: Tensor) -> Tensor:
    """Return the share of the small map's rows [a, b) in the kernel's gradient, in float64.

    Args:
        rows: The small map's rows [a, b).
        gradient: The output's rows [2a - 1, 2b + 1).
        kernel: The kernel, for its shape.
    """
    return _of_weight(gradient, rows, kernel, stride=2)


def compute_dtype(features: Tensor, weight: Tensor) -> torch.dtype:
    """Return the dtype in which a convolution of both computes, under the autocast that is on."""
    dtype = torch.promote_types(features.dtype, weight.dtype)
    device_type = features.device.type
    if torch.is_autocast_enabled(device_type) and dtype != torch.float64:
        return torch.get_autocast_dtype(device_type)
    return dtype


def _of_weight(rows: Tensor, gradient: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Return the weight's gradient of conv2d(rows, weight, stride, padding=(0, 1)), in float64.

    A weight of one tap pads nothing.
    """
    padding = [0, 0] if weight.shape[3] == 1 else [0, 1]
    _, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, rows, weight, None, [stride] * 2, padding, [1, 1], False, [0, 0], 1,
        [False, True, False],
    )  # fmt: skip
    result: Tensor = of_weight.double()
    return result
