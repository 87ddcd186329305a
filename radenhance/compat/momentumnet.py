"""momentumnet's reversible layers, for fake tensors as well.

Memory is measured on fake tensors, and momentumnet takes for a number whatever is not exactly a
`torch.Tensor`. So it is put right while one of its passes runs on fake tensors, and is as installed
at any other time. Its public class cannot be used here: what it calls in the backward pass, long
after the forward pass has returned, is an autograd function of its own; this one is entered first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from momentumnet.exact_rep_pytorch import RADIX_SCALE, TorchExactRep
from momentumnet.momentum_net import MomentumTransformMemory
from torch import Tensor, nn
from typing_extensions import override

from radenhance.compat.torch import FakeTensor


def run_reversibly(blocks: Sequence[nn.Module], features: Tensor, *, gamma: float) -> Tensor:
    """Return what `MomentumNet(blocks, gamma, use_backprop=False, is_residual=False)` returns.

    Args:
        blocks: Modules whose outputs have the shape of their inputs.
        features: Input of the first.
        gamma: Fraction of the velocity that is kept from block to block, in (0, 1).
    """
    velocity = torch.zeros_like(features)
    parameters = [parameter for block in blocks for parameter in block.parameters()]
    result: Tensor = _ForFakeTensorsToo.apply(
        features, velocity, gamma, list(blocks), None, False, 0, *parameters
    )
    return result


class _ForFakeTensorsToo(MomentumTransformMemory):  # type: ignore[misc]
    @staticmethod
    @override
    def forward(ctx: Any, features: Tensor, *more: Any) -> Any:
        with _fit_for(features):
            return MomentumTransformMemory.forward(ctx, features, *more)

    @staticmethod
    @override
    def backward(ctx: Any, gradient: Tensor) -> Any:
        with _fit_for(gradient):
            return MomentumTransformMemory.backward(ctx, gradient)


def _to_integers(self: TorchExactRep, value: Tensor | float) -> Tensor | int:
    scaled = value * RADIX_SCALE
    return scaled.long() if isinstance(scaled, Tensor) else int(scaled)


_as_installed = TorchExactRep.float_to_intrep
_lock = Lock()
_num_entered = 0


@contextmanager
def _fit_for(tensor: Tensor) -> Iterator[None]:
    """Let momentumnet compute with `tensor`; the first that enters patches, the last restores."""
    if not isinstance(tensor, FakeTensor):
        yield
        return
    _enter(1)
    try:
        yield
    finally:
        _enter(-1)


def _enter(step: int) -> None:
    global _num_entered
    with _lock:
        _num_entered += step
        TorchExactRep.float_to_intrep = _to_integers if _num_entered else _as_installed
