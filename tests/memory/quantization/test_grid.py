"""Rounding to a grid of 256 levels, and codes in place of what autograd keeps."""

import pytest
import torch
import torch.nn.functional as F

from radenhance.memory.quantization.grid import (
    SMALLEST_SCALE,
    Grid,
    keep_codes,
    pack_bits,
    quantize_,
    quantized_weights,
    rearranged,
    unpack_bits,
    weight_scale,
)


@pytest.mark.parametrize(("low", "high"), [(-3.7, 2.9), (0.0, 6.0), (-1.0, 0.0), (0.5, 2.0)])
def test_a_grid_has_zero_on_it_and_covers_its_range(low, high):
    grid = Grid.of_range(torch.tensor(low), torch.tensor(high))
    levels = grid.decode(torch.arange(256, dtype=torch.uint8), torch.float32)
    assert (levels == 0).sum() == 1
    assert levels.diff().min() > 0
    assert levels[0] <= min(low, 0) + grid.scale / 2
    assert levels[-1] >= max(high, 0) - grid.scale / 2


def test_a_range_of_one_value_has_a_grid_too():
    grid = Grid.of_range(torch.tensor(0.0), torch.tensor(0.0))
    assert grid.scale == SMALLEST_SCALE
    assert not quantize_(torch.zeros(3), grid).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_moves_no_value_inside_the_range_by_more_than_half_a_step(dtype):
    grid = Grid.of_range(torch.tensor(-1.0), torch.tensor(1.0))
    values = torch.linspace(-1, 1, 1001).to(dtype)
    rounded = quantize_(values.clone(), grid)
    assert rounded.dtype == dtype
    resolution = torch.finfo(dtype).eps
    assert (rounded - values).abs().max() <= grid.scale / 2 + resolution
    assert torch.equal(quantize_(rounded.clone(), grid), rounded)


def test_what_is_no_number_stays_so():
    grid = Grid.of_range(torch.tensor(-1.0), torch.tensor(1.0))
    assert quantize_(torch.tensor([0.5, float("nan")]), grid).isnan().tolist() == [False, True]


def test_a_channel_of_zeros_has_a_step():
    weight = torch.zeros(2, 3, 3, 3)
    assert (weight_scale(weight) == SMALLEST_SCALE).all()
    assert not quantized_weights(weight).any()


def test_without_gradient_nothing_is_written_on_a_storage():
    grid = Grid.of_range(torch.tensor(-1.0), torch.tensor(1.0))
    with torch.no_grad():
        value = quantize_(torch.rand(8), grid)
    with keep_codes():
        square = (value.requires_grad_()).square()
    saved = square.grad_fn._saved_self
    assert saved.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()


def test_what_has_no_codes_is_kept_as_the_context_around_keeps_it():
    packed = []

    def pack(tensor):
        packed.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), keep_codes():
        torch.rand(7, requires_grad=True).square()
    assert packed == [(7,)]


@pytest.mark.parametrize(("zero_point", "relu"), [(100.0, False), (0.0, True)])
def test_rounding_and_its_gradient_are_those_of_pytorch(zero_point, relu):
    x = (12 * torch.randn(1000)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    upstream = torch.rand(1000)
    step = 1 / 16  # divides exactly: PyTorch multiplies with the reciprocal
    ours = quantize_(x * 1, Grid(torch.tensor(step), torch.tensor(zero_point)), relu=relu)
    before = y.relu() if relu else y
    theirs = torch.fake_quantize_per_tensor_affine(before, step, int(zero_point), 0, 255)
    ours.backward(upstream)
    theirs.backward(upstream)
    assert torch.equal(ours, theirs)
    assert torch.equal(x.grad, y.grad)
    assert 0 < (x.grad == 0).sum() < 1000


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("low", [-3.7, 0.0])
def test_what_is_kept_in_a_byte_comes_back_bit_for_bit(dtype, low):
    grid = Grid.of_range(torch.tensor(low), torch.tensor(2.9))
    x = torch.linspace(-5, 5, 4096).to(dtype).view(1, 4, 32, 32).requires_grad_()
    with keep_codes():
        value = quantize_(x * 1, grid)
        doubled = rearranged(lambda t: F.interpolate(t, scale_factor=2.0), value)
        both = rearranged(lambda *t: torch.cat(t, dim=1), doubled, doubled)
        squares = [t.square() for t in (value, both)]
    for square, expected in zip(squares, (value, both), strict=True):
        saved = square.grad_fn._saved_self
        assert saved.untyped_storage().data_ptr() != expected.untyped_storage().data_ptr()
        assert saved.dtype == dtype
        assert torch.equal(saved, expected)
    assert len(value.unique()) <= 256


def test_a_tensor_that_was_changed_is_kept_as_it_is():
    grid = Grid.of_range(torch.tensor(-1.0), torch.tensor(1.0))
    with keep_codes():
        value = quantize_(torch.rand(8, requires_grad=True) * 1, grid)
        value.add_(0.3)
        square = value.square()
    assert torch.equal(square.grad_fn._saved_self, value)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 4, 8)])
def test_flags_survive_being_packed(shape):
    flags = torch.rand(shape) > 0.5
    packed = pack_bits(flags)
    assert len(packed) == -(-flags.numel() // 8)
    assert torch.equal(unpack_bits(packed, flags.shape), flags)


def test_batchnorm_can_be_folded_into_rounded_weights_without_rounding_anew():
    weight = torch.randn(8, 3, 3, 3, dtype=torch.float64)
    factor = torch.randn(8, 1, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(
        quantized_weights(weight * factor), quantized_weights(weight) * factor, rtol=1e-12, atol=0
    )


def test_weights_lie_on_127_steps_each_way_and_have_their_gradient_passed_on():
    weight = torch.randn(8, 3, 3, 3, requires_grad=True)
    upstream = torch.rand(8, 3, 3, 3)
    rounded = quantized_weights(weight)
    rounded.backward(upstream)
    steps = rounded / weight.abs().amax((1, 2, 3), keepdim=True) * 127
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert torch.equal(weight.grad, upstream)
