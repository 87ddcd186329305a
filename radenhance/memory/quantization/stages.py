"""Quantization-aware training: a network that computes with what int8 inference will see.

Convolution, BatchNorm and ReLU are one step of int8 inference, which reads and writes 8-bit
activations. So the float network is rounded where such a step writes:

    x --> conv(x, weights on their grid) --> BatchNorm --> ReLU --> round --> y
          conv(x, weights on their grid) --> BatchNorm ----------> round --> + identity --> ReLU
          --> round

The weights' grids are symmetric, with a step per output channel; a factor per channel leaves their
codes alone (`quantized_weights`). BatchNorm can therefore be trained as it is, with the statistics
of the batch, and be folded into the weights when training is over; scaling the weights by the
running variance during training, as quantization libraries do, is not needed.

The stem's convolution, the decoder's last one and the head compute in float. An image has 16 bits,
and so have the input and the output; rounding either to 256 levels would be seen, and so would
rounding what the head reads: on its own it made three quarters of the loss that int8 cost. Of these
layers only the last convolution's sums are kept for the backward pass.

What goes into a decoder stage is rounded to one common grid before it is upsampled and
concatenated: an int8 runtime copies bytes there, and for the backward pass the small maps are kept
and the concatenation is made again.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, get_args

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from typing_extensions import override

from radenhance.memory.banding.stages import Banding
from radenhance.memory.checkpointing import recomputed
from radenhance.memory.momentum import Momentum
from radenhance.memory.quantization.grid import keep_codes
from radenhance.memory.quantization.observer import FakeQuantizer, Quantizer
from radenhance.memory.technique import (
    Technique,
    refuse_other_than,
    refuse_without_residual_layers,
)
from radenhance.network.stages import Sequential, Stage, Unit

QuantizationMode = Literal["none", "qat"]


@dataclass(frozen=True)
class Quantization(Technique):
    """Train with what int8 inference will see, and keep it in a byte each.

    Args:
        mode: qat for quantization-aware training, or none.
    """

    mode: QuantizationMode = "none"

    parameter: ClassVar[str] = "MemoryTechniques.quantization"
    excludes: ClassVar[Mapping[type[Technique], str]] = {
        Momentum: "a momentum layer rebuilds its input from exact sums, which are on no grid of 8 "
        "bits",
        Banding: "stages in bands are made of plain convolutions, which a quantized decoder is not",
    }
    changes_function: ClassVar[bool] = True
    examples: ClassVar = ({"quantization": "qat"},)

    def __post_init__(self) -> None:
        refuse_other_than(get_args(QuantizationMode), parameter=self.parameter, got=self.mode)

    @property
    @override
    def is_on(self) -> bool:
        return self.mode != "none"

    @override
    def stages(self, stages: list[Stage], unet: smp.Unet) -> list[Stage]:
        """Return the stages as they train for int8, for one forward pass.

        The observers of its activations become a part of the network with the first call, as
        `unet.ranges`.
        """
        refuse_without_residual_layers(self, stages, unet)
        if not hasattr(unet, "ranges"):
            observers = nn.ModuleDict().train(unet.training)
            quantized_stages(stages, FakeQuantizer(observers))
            unet.ranges = observers.to(next(unet.parameters()).device)
        return quantized_stages(stages, FakeQuantizer(unet.ranges))

    @override
    def saving(
        self, stages: Sequence[Stage], inputs: Sequence[Tensor]
    ) -> AbstractContextManager[object]:
        """Return the context in which autograd keeps the codes of rounded tensors."""
        return keep_codes()


def quantized_stages(stages: Sequence[Stage], quantizer: Quantizer) -> list[Stage]:
    """Return the stages of a network with their activations and weights rounded by `quantizer`.

    Args:
        stages: All stages of a network with a ResNet as its encoder.
        quantizer: What rounds, in one forward pass.
    """
    *before, last, head = stages
    result = []
    source = ""
    for stage in before:
        units = _quantized_units(quantizer, stage, source)
        result.append(replace(stage, units=units))
        source = f"{stage.name}_{len(units) - 1}"
    units = _quantized_units(quantizer, last, source, in_float=True)
    return [*result, replace(last, units=units), _head(head, last.units[-1])]


def _quantized_units(
    quantizer: Quantizer, stage: Stage, source: str, *, in_float: bool = False
) -> tuple[Unit, ...]:
    """Return the units of a stage whose input is on the grid called `source`.

    Args:
        quantizer: What rounds.
        stage: The stage.
        source: The name of its input's grid.
        in_float: Whether its last convolution computes in float.
    """
    if stage.name == "stem":
        return (_stem(quantizer, *stage.modules),)
    names = [f"{stage.name}_{i}" for i in range(len(stage.modules))]
    if stage.name.startswith("layer"):
        pairs = zip(names, stage.modules, strict=True)
        return _with_pooling(
            quantizer, stage, source, [_residual_block(quantizer, *p) for p in pairs]
        )
    rounded = zip(names, stage.modules[:-1] if in_float else stage.modules, strict=False)
    first, *rest = (_conv_bn_relu(quantizer, *pair) for pair in rounded)
    if in_float:
        convolution, *_ = stage.modules[-1].children()
        rest.append(Unit(convolution, (convolution,)))
    shared = quantizer.declare(f"{stage.name}_in") if stage.takes_skip else ()
    upsampling = _upsampling(quantizer, stage, source)
    return replace(first, modules=(*first.modules, *shared), before=upsampling), *rest


def _stem(quantizer: Quantizer, convolution: nn.Module, norm: nn.Module) -> Unit:
    def run(image: Tensor) -> Tensor:
        (result,) = quantizer.quantize("stem_0", norm(convolution(image)), relu=True)
        return result

    return Unit(run, (convolution, norm, *quantizer.declare("stem_0")))


def _with_pooling(
    quantizer: Quantizer, stage: Stage, source: str, units: Sequence[Unit]
) -> tuple[Unit, ...]:
    """Return units of which the first pools as that of `stage` does, and stays on its grid."""
    pool = stage.units[0].before
    if pool is None:
        return tuple(units)
    # made again, or its 64-bit indices would be kept
    pooling = partial(quantizer.rearrange, source, recomputed(pool, ()))
    return replace(units[0], before=pooling), *units[1:]


def _head(stage: Stage, last: Unit) -> Stage:
    """Return the head with what follows the last convolution, both run again for backward."""
    (module,), (head,) = last.modules, stage.units
    _, *rest = module.children()
    modules = (*rest, *head.modules)
    return replace(stage, units=(Unit(recomputed(Sequential((*rest, head)), modules), modules),))


def _conv_bn_relu(quantizer: Quantizer, name: str, module: nn.Module) -> Unit:
    convolution, norm, *_ = module.children()

    def run(features: Tensor) -> Tensor:
        sums = _convolved(quantizer, convolution, norm, features)
        (result,) = quantizer.quantize(name, sums, relu=True)
        return result

    return Unit(run, (module, *quantizer.declare(name)))


def _residual_block(quantizer: Quantizer, name: str, block: BasicBlock | Bottleneck) -> Unit:
    numbers = [n for n in (1, 2, 3) if hasattr(block, f"conv{n}")]
    layers = [(getattr(block, f"conv{n}"), getattr(block, f"bn{n}")) for n in numbers]
    within = [f"{name}_conv{n}" for n in numbers]
    shortcut = f"{name}_shortcut"

    def run(features: Tensor) -> Tensor:
        branch = features
        for step, layer in zip(within, layers, strict=True):
            sums = _convolved(quantizer, *layer, branch)
            (branch,) = quantizer.quantize(step, sums, relu=step != within[-1])
        if block.downsample is not None:
            convolution, norm = block.downsample.children()
            sums = _convolved(quantizer, convolution, norm, features)
            (features,) = quantizer.quantize(shortcut, sums)
        (result,) = quantizer.quantize(name, branch + features, relu=True)
        return result

    names = [*within, *([shortcut] if block.downsample is not None else []), name]
    return Unit(run, (block, *quantizer.declare(*names)))


def _upsampling(quantizer: Quantizer, stage: Stage, source: str) -> Callable[..., Tensor]:
    double = partial(F.interpolate, scale_factor=2.0, mode="nearest")
    shared = f"{stage.name}_in"

    def run(features: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is None:
            return quantizer.rearrange(source, double, features)
        features, skip = quantizer.quantize(shared, features.clone(), skip.clone())
        features = quantizer.rearrange(shared, double, features)
        return quantizer.rearrange(shared, lambda *both: torch.cat(both, dim=1), features, skip)

    return run


def _convolved(
    quantizer: Quantizer, convolution: nn.Module, norm: nn.Module, features: Tensor
) -> Tensor:
    assert isinstance(convolution, nn.Conv2d)
    sums = F.conv2d(
        features,
        quantizer.weights(convolution),
        convolution.bias,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        convolution.groups,
    )
    result: Tensor = norm(sums)
    return result
