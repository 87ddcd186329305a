"""Which techniques are on, and the one place where they are put together."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from radenhance.memory.banding.stages import Banding, BandRows
from radenhance.memory.channels_last import ChannelsLast, ChannelsLastMode
from radenhance.memory.checkpointing import Checkpointing, CheckpointingMode
from radenhance.memory.compilation.stages import Compilation, CompileMode
from radenhance.memory.fused_upsampling import FusedUpsampling
from radenhance.memory.momentum import Momentum
from radenhance.memory.offload.hooks import Offloading
from radenhance.memory.quantization.stages import Quantization, QuantizationMode
from radenhance.memory.technique import Technique, refuse_exclusions
from radenhance.network.stages import Stage, run_stages, stages_of


@dataclass(frozen=True)
class MemoryTechniques:
    """What to do about memory.

    Techniques combine, but for quantization with momentum or bands, and compiling with both of
    momentum and quantization. Only momentum and quantization
    change losses and gradients. Mixed precision is Trainer(precision="16-mixed") or
    Trainer(precision="bf16-mixed").

    Args:
        checkpointing: Keep only what goes from stage to stage, or from unit to unit (a residual
            block; convolution, BatchNorm and ReLU), and recompute the rest in the backward pass,
            which costs about a third more time (on a CPU). By units it is quicker, by stages less
            is kept; with bands, and a ResNet of basic blocks, it is the least memory of all.
        momentum: gamma in (0, 1) of a Momentum ResNet (0.9 in its paper), whose residual layers
            rebuild their inputs in the backward pass; null for the ResNet. It changes the function,
            not the weights, and needs a ResNet encoder.
        momentum_reversible: Whether momentum layers rebuild their inputs; if not, the same function
            keeps them, to compare with.
        quantization: qat for a network that computes with what int8 inference will see, to be
            converted by `radenhance quantize` afterwards. It keeps activations in a byte each for
            the backward pass, changes the function a little, and needs a ResNet encoder.
        offload_mib: Host memory, in MiB, in which activations may wait for the backward pass; 0 for
            none. It is taken for good at the first step.
        band_rows: Rows of the bands in which decoder stages run, or auto; 0 for whole images. The
            same function, BatchNorm included, at a fraction of the memory.
        fused_upsampling: Whether decoder stages upsample and convolve in one step, and convolve the
            skip by itself, so that neither the upsampled map nor the concatenation is made: the
            same function in less memory and time. A decoder that cannot, and one that is quantized
            or sharded, runs as without it.
        compile: default to let PyTorch compile the network in training, which takes minutes for
            each size of images and makes the same function of fewer kernels; auto to let it also
            keep what needs the least memory for the backward pass, and recompute the rest, which is
            cheap; none for no compiler. It needs a C++ compiler on a CPU and Triton on a GPU.
        channels_last: Whether feature maps have the channels of a pixel side by side, as tensor
            cores read them: the same function. auto does so where a GPU computes in half precision
            or TensorFloat-32 without bands, which takes half of the time at 2048 px (an H100);
            elsewhere there is nothing to gain.
        tf32: Let Ampere and later GPUs multiply float32 with the 10-bit mantissa of TensorFloat-32:
            less exact, a fourth of the time at 2048 px (an H100), and no memory saved.
            Off means true float32, in convolutions too, where PyTorch's own default is
            TensorFloat-32.

    Raises:
        UsageError: A value is wrong (`ParameterError`), or two techniques exclude each other.
    """

    checkpointing: CheckpointingMode = "none"
    momentum: float | None = None
    momentum_reversible: bool = True
    quantization: QuantizationMode = "none"
    offload_mib: int = 0
    band_rows: BandRows = 0
    fused_upsampling: bool = True
    compile: CompileMode = "none"
    channels_last: ChannelsLastMode = "auto"
    tf32: bool = False

    def __post_init__(self) -> None:
        refuse_exclusions(self.chosen)

    @property
    def known(self) -> list[Technique]:
        """All techniques, on or off, in the order in which they are folded.

        Contexts are entered in this order: what quantization does not keep as codes is saved as
        offloading saves it. Checkpointing is last, so that it sees what banding runs by itself,
        and recomputes what is compiled. The compiler chooses layouts itself.
        """
        return [
            Offloading(self.offload_mib),
            Momentum(self.momentum, self.momentum_reversible),
            Quantization(self.quantization),
            Banding(self.band_rows, by_stages=self.checkpointing == "stage"),
            FusedUpsampling(self.fused_upsampling),
            Compilation(self.compile, by_units=self.checkpointing != "none"),
            ChannelsLast(self.channels_last, with_bands=self.band_rows != 0),
            Checkpointing(self.checkpointing),
        ]

    @property
    def chosen(self) -> list[Technique]:
        """The techniques that are on."""
        return [technique for technique in self.known if technique.is_on]

    @property
    def changes_function(self) -> bool:
        """Whether the network computes something else of the same weights."""
        return any(technique.changes_function for technique in self.chosen)

    @property
    def in_bands(self) -> Self:
        """The same techniques with bands, or as they are where bands are excluded."""
        if self.band_rows or self.quantization != "none":
            return self
        return dataclasses.replace(self, band_rows="auto")

    def stages_of(self, unet: smp.Unet) -> list[Stage]:
        """Return the stages that the techniques make of a network, for one forward pass.

        Raises:
            UsageError: A technique cannot work on this network.
        """
        stages = stages_of(unet)
        for technique in self.chosen:
            stages = technique.stages(stages, unet)
        return stages

    def run(self, unet: smp.Unet, image: Tensor) -> Tensor:
        """Return `unet(image)`, computed under the techniques.

        Args:
            unet: The network, taken apart anew each time, so that a copy runs its own modules.
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
            skips: The skips that are open before the first stage; left in it are those that are
                open after the last one.
        """
        chosen = self.chosen
        running = list(stages)
        for technique in chosen:
            running = technique.running(running)
        inputs = [features, *(skips or [])]
        with ExitStack() as contexts:
            for technique in chosen:
                contexts.enter_context(technique.saving(stages, inputs))
            return run_stages(running, features, skips)

    def set_float32_precision(self) -> None:
        """Choose how the GPU multiplies float32; it is a choice of the whole process."""
        torch.backends.cudnn.allow_tf32 = self.tf32
        torch.backends.cuda.matmul.allow_tf32 = self.tf32

    @contextmanager
    def float32_precision(self) -> Iterator[None]:
        """Choose how the GPU multiplies float32 within a block, and choose as before after it."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        before = cudnn.allow_tf32, matmul.allow_tf32
        self.set_float32_precision()
        try:
            yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32 = before
