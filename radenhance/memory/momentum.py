"""Residual layers that rebuild their inputs from their outputs: Momentum ResNets of momentumnet.

With gamma in (0, 1), blocks f and a velocity v that starts at 0, a layer computes

    v <- gamma v + (1 - gamma) (f(x) - x)        x <- x + v

(Sander et al., "Momentum Residual Neural Networks", ICML 2021, equation 3), which can be undone, so
that nothing is kept from block to block. It has the weights of the ResNet and is *another
function* of them: weights trained without momentum load, and give other outputs.

momentumnet needs three things put right around it, and one for planning (`compat.momentumnet`):

- It multiplies the velocity by a fraction of 65536 that is up to 1/65536 above gamma when it can be
  undone, and by gamma itself when it cannot: gradients of the two differ by 1e-2 in a ResNet-34.
  Here gamma is rounded to a value that is such a fraction.
- Under autocast its exact integers overflow (it multiplies by 2^52 in half precision), and its
  backward pass runs the blocks outside the autocast that the forward pass ran in: they no longer
  undo what was done. Here blocks give float32, and enter the forward pass's autocast again.
- Its backward pass runs every BatchNorm a second time; here the buffers are put back.
- It takes fake tensors, with which memory is measured, for numbers. There it is patched while one
  of its passes runs on them.

The first block of a layer changes the number of channels or the size and stays as it is.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from momentumnet import MomentumNet
from torch import Tensor, nn

from radenhance.compat.momentumnet import run_reversibly
from radenhance.errors import UsageError
from radenhance.memory.checkpointing import unchanged_buffers
from radenhance.network.stages import Stage, Unit


def with_momentum(stages: Sequence[Stage], gamma: float, *, reversible: bool = True) -> list[Stage]:
    """Return the stages with the residual layers of the encoder as momentum layers.

    Args:
        stages: Of a network whose encoder is a ResNet.
        gamma: How much of the velocity stays, in (0, 1).
        reversible: False keeps the activations instead of rebuilding them: the same function with
            ordinary backpropagation, to compare with.

    Raises:
        UsageError: The encoder is not a ResNet.
    """
    if not any(stage.name.startswith("layer") for stage in stages):
        raise UsageError(
            "--model.memory.momentum needs an encoder of residual layers; use --model.encoder "
            "resnet18, resnet34, resnet50, ... or leave momentum out"
        )
    return [
        _momentum_stage(stage, gamma, reversible) if stage.name.startswith("layer") else stage
        for stage in stages
    ]


def representable(gamma: float) -> float:
    """Return the number nearest to `gamma` by which momentumnet multiplies exactly.

    It makes n / 65536 of it with n = int(gamma * 65536 + 1) (`TorchExactRep.float_to_rational`),
    so a hair less than a fraction of 65536 gives that fraction, in (0, 1).
    """
    numerator = min(max(round(gamma * 2**16), 1), 2**16 - 1)
    return numerator / 2**16 - 2**-40


def _momentum_stage(stage: Stage, gamma: float, reversible: bool) -> Stage:
    first, *rest = stage.units
    if not rest:
        return stage
    blocks = tuple(module for unit in rest for module in unit.modules)

    def run(features: Tensor) -> Tensor:
        within = [_Block(block, features.device.type, reversible=reversible) for block in blocks]
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        if reversible:
            return run_reversibly(within, exact, gamma=representable(gamma))
        result: Tensor = MomentumNet(within, gamma=representable(gamma), is_residual=False)(exact)
        return result

    return replace(stage, units=(first, Unit(run, blocks)))


class _Block(nn.Module):
    """A residual block that computes the same whenever momentumnet runs it."""

    def __init__(self, block: nn.Module, device_type: str, *, reversible: bool) -> None:
        super().__init__()
        self.block = block
        self.reversible = reversible
        self.device_type = device_type
        self.autocast = torch.is_autocast_enabled(device_type)
        self.autocast_dtype = torch.get_autocast_dtype(device_type)

    def forward(self, features: Tensor) -> Tensor:
        """Return the block's output in the precision of its input."""
        # momentumnet runs the blocks without gradient forwards, and with gradient to go back
        rebuilds = self.reversible and torch.is_grad_enabled()
        buffers = unchanged_buffers([self.block]) if rebuilds else nullcontext()
        autocast = torch.autocast(
            self.device_type, dtype=self.autocast_dtype, enabled=self.autocast
        )
        with autocast, buffers:
            result: Tensor = self.block(features)
        return result.to(features.dtype)
