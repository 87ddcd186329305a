"""Which techniques are on, which go together, and what runs then."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import get_args

import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from radenhance.errors import UsageError
from radenhance.memory.banding.parts import BandRows, banded_parts, with_banded_stem
from radenhance.memory.checkpointing import Checkpointing, checkpointed_parts
from radenhance.memory.momentum import with_momentum
from radenhance.memory.offload.hooks import offloaded
from radenhance.memory.quantization.grid import keep_codes
from radenhance.memory.quantization.stages import Quantization, with_quantization
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
        quantization: qat for a network that computes with what int8 inference will see, to be
            converted by `radenhance quantize` afterwards. It keeps activations in a byte each for
            the backward pass, changes the function a little, and needs a ResNet encoder.
        offload_mib: Host memory, in MiB, in which activations may wait for the backward pass; 0 for
            none. It is taken for good at the first step.
        band_rows: Rows of the bands in which decoder stages run, or auto; 0 for whole images. The
            same function, BatchNorm included, at a fraction of the memory, and not slower.
        tf32: Let Ampere and later GPUs multiply float32 with the 10-bit mantissa of TensorFloat-32:
            faster, less exact, no memory saved. Off means true float32, in convolutions too, where
            PyTorch's own default is TensorFloat-32.
    """

    checkpointing: Checkpointing = "none"
    momentum: float | None = None
    momentum_reversible: bool = True
    quantization: Quantization = "none"
    offload_mib: int = 0
    band_rows: BandRows = 0
    tf32: bool = False

    def __post_init__(self) -> None:
        if self.checkpointing not in get_args(Checkpointing):
            raise UsageError(
                f"--model.memory.checkpointing is {self.checkpointing!r}, expected one of "
                f"{', '.join(get_args(Checkpointing))}"
            )
        if self.quantization not in get_args(Quantization):
            raise UsageError(
                f"--model.memory.quantization is {self.quantization!r}, expected one of "
                f"{', '.join(get_args(Quantization))}"
            )
        if self.quantization != "none" and self.momentum is not None:
            raise UsageError(
                "--model.memory.quantization does not go with --model.memory.momentum: a momentum "
                "layer rebuilds its input from exact sums, which are on no grid of 8 bits; leave "
                "one of them out"
            )
        if self.momentum is not None and not 0 < self.momentum < 1:
            raise UsageError(
                f"--model.memory.momentum is {self.momentum}, expected gamma between 0 and 1, "
                f"such as 0.9, or null for none"
            )
        if self.band_rows != "auto" and self.band_rows < 0:
            raise UsageError(
                f"--model.memory.band_rows is {self.band_rows}, expected a number of rows such as "
                f"128, auto, or 0 for none"
            )
        if self.band_rows != 0 and self.quantization != "none":
            raise UsageError(
                "--model.memory.band_rows does not go with --model.memory.quantization, whose "
                "decoder is not made of plain convolutions; leave one of them out"
            )
        if self.offload_mib < 0:
            raise UsageError(
                f"--model.memory.offload_mib is {self.offload_mib}, expected a number of MiB such "
                f"as 4096, or 0 for none"
            )

    def stages_of(self, unet: smp.Unet) -> list[Stage]:
        """Return the stages that the techniques make of a network.

        Raises:
            UsageError: A technique cannot work on this network.
        """
        if self.quantization == "qat":
            return with_quantization(unet)
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
        return self.run_stages(self.stages_of(unet), image)

    def run_stages(
        self, stages: Sequence[Stage], features: Tensor, skips: list[Tensor] | None = None
    ) -> Tensor:
        """Run some stages of a network under the techniques, as `network.stages.run_stages` does.

        Args:
            stages: All or some that follow each other, of those that `stages_of` gives.
            features: The image, or the features that the stage before gave.
            skips: Those open before the first stage; left in it are those open after the last.
        """
        stem = None
        if self.band_rows != 0:
            stages, stem = with_banded_stem(stages, self.band_rows)
        parts = checkpointed_parts(stages, self.checkpointing)
        if self.band_rows != 0:
            parts = banded_parts(stages, parts, self.band_rows, stem)
        inputs = [features, *(skips or [])]
        with offloaded(stages, inputs, budget_mib=self.offload_mib), self._codes_kept():
            return run_stages(stages, parts, features, skips)

    def _codes_kept(self) -> AbstractContextManager[object]:
        return nullcontext() if self.quantization == "none" else keep_codes()

    def set_float32_precision(self) -> None:
        """Choose how the GPU multiplies float32; it is a choice of the whole process."""
        torch.backends.cudnn.allow_tf32 = self.tf32
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
