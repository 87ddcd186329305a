"""Which techniques are on, which go together, and what runs then."""

from dataclasses import dataclass
from typing import get_args

import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from radenhance.errors import UsageError
from radenhance.memory.checkpointing import Checkpointing, checkpointed_parts
from radenhance.memory.momentum import with_momentum
from radenhance.network.stages import Stage, run_stages, stages_of


@dataclass(frozen=True)
class MemoryTechniques:
    """What to do about memory.

    All of it combines, and but for momentum leaves losses and gradients as they are. Mixed
    precision is --trainer.precision 16-mixed or bf16-mixed.

    Args:
        checkpointing: Keep only what goes from stage to stage, or from unit to unit (a residual
            block; convolution, BatchNorm and ReLU), and recompute the rest in the backward pass,
            which costs about a third more time.
        momentum: gamma in (0, 1) of a Momentum ResNet (0.9 in its paper), whose residual layers
            rebuild their inputs in the backward pass; null for the ResNet. It changes the function,
            not the weights, and needs a ResNet encoder.
        momentum_reversible: Whether they rebuild them; if not, the same function keeps them, to
            compare with.
        tf32: Let Ampere and later GPUs multiply float32 with the 10-bit mantissa of TensorFloat-32:
            faster, less exact, no memory saved. Off means true float32, in convolutions too, where
            PyTorch's own default is TensorFloat-32.
    """

    checkpointing: Checkpointing = "none"
    momentum: float | None = None
    momentum_reversible: bool = True
    tf32: bool = False

    def __post_init__(self) -> None:
        if self.checkpointing not in get_args(Checkpointing):
            raise UsageError(
                f"--model.memory.checkpointing is {self.checkpointing!r}, expected one of "
                f"{', '.join(get_args(Checkpointing))}"
            )
        if self.momentum is not None and not 0 < self.momentum < 1:
            raise UsageError(
                f"--model.memory.momentum is {self.momentum}, expected gamma between 0 and 1, "
                f"such as 0.9, or null for none"
            )

    def stages_of(self, unet: smp.Unet) -> list[Stage]:
        """Return the stages that the techniques make of a network.

        Raises:
            UsageError: A technique cannot work on this network.
        """
        stages = stages_of(unet)
        if self.momentum is not None:
            stages = with_momentum(stages, self.momentum, reversible=self.momentum_reversible)
        return stages

    def run(self, unet: smp.Unet, image: Tensor) -> Tensor:
        """Return `unet(image)`, computed under the techniques.

        Args:
            unet: Taken apart anew each time, so that a copy of the network runs its own modules.
            image: Shape (N, 1, H, W), both sides multiples of 32.
        """
        stages = self.stages_of(unet)
        return run_stages(stages, checkpointed_parts(stages, self.checkpointing), image)

    def set_float32_precision(self) -> None:
        """Choose how the GPU multiplies float32; it is a choice of the whole process."""
        torch.backends.cudnn.allow_tf32 = self.tf32
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
