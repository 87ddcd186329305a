"""Ranges that follow the values seen in training, and the rounding of one forward pass."""

import torch
import torch.nn.functional as F
from torch import nn

from radenhance.memory.quantization.observer import FakeQuantizer, Observer


def test_range_starts_at_the_first_values_and_moves_a_tenth_in_training_only():
    observer = Observer()
    observer.grid([torch.tensor([-1.0, 3.0])], relu=False)
    observer.grid([torch.tensor([-2.0]), torch.tensor([13.0])], relu=False)
    expected = torch.tensor([-1.1, 4.0])
    torch.testing.assert_close(observer.bounds, expected)
    observer.eval().grid([torch.tensor([-9.0, 99.0])], relu=False)
    torch.testing.assert_close(observer.bounds, expected)


def test_a_range_that_saw_nothing_is_that_of_the_values_and_stays_unknown_in_evaluation():
    observer = Observer().eval()
    grid = observer.grid([torch.tensor([-1.0, 254.0])], relu=False)
    assert grid.scale == 1
    assert not observer.bounds.isfinite().any()


def test_the_range_of_a_relu_starts_at_zero():
    observer = Observer()
    grid = observer.grid([torch.tensor([-5.0, 255.0])], relu=True)
    assert observer.bounds.tolist() == [0, 255]
    assert (grid.scale, grid.zero_point) == (1, 0)
    assert observer.current() == grid


def test_observers_that_are_missing_are_added_in_the_mode_of_the_others():
    observers = nn.ModuleDict().eval()
    quantizer = FakeQuantizer(observers)
    first, second = quantizer.declare("a", "b")
    assert quantizer.declare("a") == (first,)
    assert list(observers) == ["a", "b"]
    assert not second.training


def test_a_forward_pass_that_runs_again_finds_its_grid_and_moves_no_range():
    quantizer = FakeQuantizer(nn.ModuleDict())
    (observer,) = quantizer.declare("a")
    values = torch.linspace(-1, 3, 50)
    (first,) = quantizer.quantize("a", values.clone())
    bounds = observer.bounds.clone()
    (again,) = quantizer.quantize("a", values.clone())
    assert torch.equal(first, again)
    assert torch.equal(observer.bounds, bounds)


def test_tensors_that_are_quantized_together_share_a_grid():
    quantizer = FakeQuantizer(nn.ModuleDict())
    quantizer.declare("a")
    small, large = quantizer.quantize("a", torch.tensor([0.5]), torch.tensor([255.0]))
    assert (small.item(), large.item()) in {(0.0, 255.0), (1.0, 255.0)}


def test_rearranging_rounds_nothing():
    quantizer = FakeQuantizer(nn.ModuleDict())
    values = torch.rand(1, 1, 4, 4)
    pooled = quantizer.rearrange("a", lambda x: F.max_pool2d(x, 2), values)
    assert torch.equal(pooled, F.max_pool2d(values, 2))
