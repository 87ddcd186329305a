"""Running ranges of activations, and the rounding that follows from them in one forward pass."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from radenhance.memory.quantization.grid import Grid, quantize_, quantized_weights, rearranged
from radenhance.network.stages import Part

AVERAGING = 0.1
"""Share of the newest batch in the running range: that of BatchNorm's running statistics."""


class Observer(nn.Module):
    """The running smallest and largest value of an activation, from which its grid follows."""

    bounds: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bounds", torch.tensor([torch.inf, -torch.inf]))

    @torch.no_grad()
    def grid(self, values: Sequence[Tensor], *, relu: bool) -> Grid:
        """Return the grid for `values`; in training, the range first moves towards theirs.

        A range that never saw a value is that of these values.

        Args:
            values: What is to share the grid.
            relu: Whether their ReLU is meant.
        """
        extremes = [torch.stack(torch.aminmax(value)).to(self.bounds.dtype) for value in values]
        lows, highs = torch.stack(extremes, dim=1)
        newest = torch.stack([lows.amin(), highs.amax()])
        newest = newest.clamp(min=0) if relu else newest
        known = self.bounds.isfinite().all()
        if self.training:
            self.bounds.copy_(torch.where(known, self.bounds.lerp(newest, AVERAGING), newest))
        return Grid.of_range(*torch.where(known, self.bounds, newest).unbind())

    def current(self) -> Grid:
        """Return the grid of the range as it is."""
        return Grid.of_range(*self.bounds.unbind())


class Quantizer(Protocol):
    """What rounds the values of a network in one forward pass."""

    def declare(self, *names: str) -> tuple[nn.Module, ...]:
        """Return the modules behind the grids of these names."""

    def onto(self, name: str, *values: Tensor, relu: bool = False) -> Sequence[Tensor]:
        """Return `values`, or their ReLU, rounded in place to the grid called `name`."""

    def move(self, name: str, function: Part, *values: Tensor) -> Tensor:
        """Return `function(*values)`, which stays on the grid called `name`."""

    def weights(self, convolution: nn.Conv2d) -> Tensor:
        """Return the weights on their grids."""


class FakeQuantizer:
    """Rounds in float.

    It remembers the grids: a forward pass that is run again for the backward pass, as checkpointing
    does, finds those that it had, and moves no range a second time.

    Args:
        ranges: By name; those that are missing are added.
    """

    def __init__(self, ranges: nn.ModuleDict) -> None:
        self.ranges = ranges
        self.grids: dict[str, Grid] = {}

    def declare(self, *names: str) -> tuple[nn.Module, ...]:
        """Return the ranges of these names."""
        for name in names:
            if name not in self.ranges:
                self.ranges[name] = Observer().train(self.ranges.training)
        return tuple(self.ranges[name] for name in names)

    def onto(self, name: str, *values: Tensor, relu: bool = False) -> Sequence[Tensor]:
        """Return `values`, or their ReLU, rounded in place to the grid called `name`."""
        if name not in self.grids:
            running = self.ranges[name]
            assert isinstance(running, Observer)
            self.grids[name] = running.grid(values, relu=relu)
        return [quantize_(value, self.grids[name], relu=relu) for value in values]

    def move(self, name: str, function: Part, *values: Tensor) -> Tensor:
        """Return `function(*values)`, which stays on the grid called `name`."""
        return rearranged(function, *values)

    def weights(self, convolution: nn.Conv2d) -> Tensor:
        """Return the weights on their grids."""
        return quantized_weights(convolution.weight)
