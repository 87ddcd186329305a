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

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar

import segmentation_models_pytorch as smp
import torch
from momentumnet import MomentumNet
from torch import Tensor, nn
from typing_extensions import override

from radenhance.compat.momentumnet import run_reversibly
from radenhance.errors import ParameterError
from radenhance.memory.checkpointing import unchanged_buffers
from radenhance.memory.technique import Technique, refuse_without_residual_layers
from radenhance.network.stages import Stage, Unit


@dataclass(frozen=True)
class Momentum(Technique):
    """Residual layers of the encoder as momentum layers.

    Args:
        gamma: The share of the velocity that stays from block to block, in (0, 1); None for the
            ResNet as it is.
        reversible: Whether inputs are rebuilt; if not, activations are kept: the same function with
            ordinary backpropagation, to compare with.
    """

    gamma: float | None = None
    reversible: bool = True

    parameter: ClassVar[str] = "MemoryTechniques.momentum"
    changes_function: ClassVar[bool] = True
    examples: ClassVar = ({"momentum": 0.9},)

    def __post_init__(self) -> None:
        if self.gamma is not None and not 0 < self.gamma < 1:
            expected = "gamma between 0 and 1, such as 0.9, or None"
            raise ParameterError(self.parameter, got=self.gamma, expected=expected)

    @property
    @override
    def is_on(self) -> bool:
        return self.gamma is not None

    @override
    def stages(self, stages: list[Stage], unet: smp.Unet) -> list[Stage]:
        """Return the stages with the residual layers of the encoder as momentum layers."""
        refuse_without_residual_layers(self, stages, unet)
        assert self.gamma is not None
        return [
            _momentum_stage(stage, self.gamma, self.reversible)
            if stage.name.startswith("layer")
            else stage
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
