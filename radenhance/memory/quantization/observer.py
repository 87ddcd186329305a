"""Observers of activations, and the rounding that follows from them in one forward pass.

An observer is what torch.ao calls one: it watches values, keeps their running range, and gives the
grid that covers it. It is a module with one buffer, so that ranges are a part of the checkpoint.
"""

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
            values: The tensors that share the grid.
            relu: Whether the grid is for their ReLU.
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
        """Return the observers whose grids have these names."""

    def quantize(self, name: str, *values: Tensor, relu: bool = False) -> Sequence[Tensor]:
        """Return `values`, or their ReLU, rounded in place to the grid called `name`."""

    def rearrange(self, name: str, function: Part, *values: Tensor) -> Tensor:
        """Return `function(*values)`, which stays on the grid called `name`."""

    def weights(self, convolution: nn.Conv2d) -> Tensor:
        """Return the weights on their grids."""


class FakeQuantizer:
    """Rounds in float.

    It remembers the grids: a forward pass that is run again for the backward pass, as checkpointing
    does, finds those that it had, and moves no range a second time.

    Args:
        observers: Observers by name; those that are missing are added.
    """

    def __init__(self, observers: nn.ModuleDict) -> None:
        self.observers = observers
        self.grids: dict[str, Grid] = {}

    def declare(self, *names: str) -> tuple[nn.Module, ...]:
        """Return the observers whose grids have these names."""
        for name in names:
            if name not in self.observers:
                self.observers[name] = Observer().train(self.observers.training)
        return tuple(self.observers[name] for name in names)

    def quantize(self, name: str, *values: Tensor, relu: bool = False) -> Sequence[Tensor]:
        """Return `values`, or their ReLU, rounded in place to the grid called `name`."""
        if name not in self.grids:
            observer = self.observers[name]
            assert isinstance(observer, Observer)
            self.grids[name] = observer.grid(values, relu=relu)
        return [quantize_(value, self.grids[name], relu=relu) for value in values]

    def rearrange(self, name: str, function: Part, *values: Tensor) -> Tensor:
        """Return `function(*values)`, which stays on the grid called `name`."""
        return rearranged(function, *values)

    def weights(self, convolution: nn.Conv2d) -> Tensor:
        """Return the weights on their grids."""
        return quantized_weights(convolution.weight)
