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

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from radenhance.errors import UsageError
from radenhance.memory.checkpointing import recomputed
from radenhance.memory.quantization.observer import FakeQuantizer, Quantizer
from radenhance.network.stages import Stage, Unit, stages_of

Quantization = Literal["none", "qat"]


def with_quantization(unet: smp.Unet) -> list[Stage]:
    """Return the stages of a network as they train for int8, for one forward pass.

    The ranges of its activations become a part of the network with the first call, as
    `unet.ranges`.

    Raises:
        UsageError: The encoder is not a ResNet.
    """
    if not hasattr(unet, "ranges"):
        ranges = nn.ModuleDict().train(unet.training)
        quantized_stages(unet, FakeQuantizer(ranges))
        unet.ranges = ranges.to(next(unet.parameters()).device)
    return quantized_stages(unet, FakeQuantizer(unet.ranges))


def quantized_stages(unet: smp.Unet, quantizer: Quantizer) -> list[Stage]:
    """Return the stages of a network with their activations and weights rounded by `quantizer`.

    Raises:
        UsageError: The encoder is not a ResNet.
    """
    stages = stages_of(unet)
    if stages[0].name != "stem":
        raise UsageError(
            "--model.memory.quantization needs an encoder of residual layers; use --model.encoder "
            "resnet18, resnet34, resnet50, ... or leave quantization out"
        )
    *before, last, head = stages
    result = []
    source = ""
    for stage in before:
        units = _quantized_units(quantizer, unet, stage, source)
        result.append(replace(stage, units=units))
        source = f"{stage.name}_{len(units) - 1}"
    units = _quantized_units(quantizer, unet, last, source, in_float=True)
    return [*result, replace(last, units=units), _head(head, last.units[-1])]


def _quantized_units(
    quantizer: Quantizer, unet: smp.Unet, stage: Stage, source: str, *, in_float: bool = False
) -> tuple[Unit, ...]:
    if stage.name == "stem":
        return (_stem(quantizer, unet.encoder),)
    modules = [module for unit in stage.units for module in unit.modules]
    names = [f"{stage.name}_{i}" for i in range(len(modules))]
    if stage.name.startswith("layer"):
        units = [_residual_block(quantizer, *pair) for pair in zip(names, modules, strict=True)]
        if stage.name == "layer1":
            # made again, or its 64-bit indices would be kept
            pool = recomputed(unet.encoder.maxpool, ())
            units[0] = _after(partial(quantizer.move, source, pool), units[0])
        return tuple(units)
    rounded = zip(names, modules[:-1] if in_float else modules, strict=False)
    units = [_conv_bn_relu(quantizer, *pair) for pair in rounded]
    if in_float:
        convolution, *_ = modules[-1].children()
        units.append(Unit(convolution, (convolution,)))
    units[0] = _after(_upsampling(quantizer, stage, source), units[0])
    shared = quantizer.declare(f"{stage.name}_in") if stage.takes_skip else ()
    units[0] = replace(units[0], modules=(*units[0].modules, *shared))
    return tuple(units)


def _stem(quantizer: Quantizer, encoder: ResNetEncoder) -> Unit:
    def run(image: Tensor) -> Tensor:
        (result,) = quantizer.onto("stem_0", encoder.bn1(encoder.conv1(image)), relu=True)
        return result

    return Unit(run, (encoder.conv1, encoder.bn1, *quantizer.declare("stem_0")))


def _head(stage: Stage, last: Unit) -> Stage:
    """Return the head with what follows the last convolution, both run again for backward."""
    (module,), (head,) = last.modules, stage.units
    _, *rest = module.children()

    def run(sums: Tensor) -> Tensor:
        for layer in rest:
            sums = layer(sums)
        result = head.run(sums)
        assert isinstance(result, Tensor)
        return result

    modules = (*rest, *head.modules)
    return replace(stage, units=(Unit(recomputed(run, modules), modules),))


def _conv_bn_relu(quantizer: Quantizer, name: str, module: nn.Module) -> Unit:
    convolution, norm, *_ = module.children()

    def run(features: Tensor) -> Tensor:
        sums = _convolved(quantizer, convolution, norm, features)
        (result,) = quantizer.onto(name, sums, relu=True)
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
            (branch,) = quantizer.onto(step, sums, relu=step != within[-1])
        if block.downsample is not None:
            convolution, norm = block.downsample.children()
            sums = _convolved(quantizer, convolution, norm, features)
            (features,) = quantizer.onto(shortcut, sums)
        (result,) = quantizer.onto(name, branch + features, relu=True)
        return result

    names = [*within, *([shortcut] if block.downsample is not None else []), name]
    return Unit(run, (block, *quantizer.declare(*names)))


def _upsampling(quantizer: Quantizer, stage: Stage, source: str) -> Callable[..., Tensor]:
    double = partial(F.interpolate, scale_factor=2.0, mode="nearest")
    shared = f"{stage.name}_in"

    def run(features: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is None:
            return quantizer.move(source, double, features)
        features, skip = quantizer.onto(shared, features.clone(), skip.clone())
        features = quantizer.move(shared, double, features)
        return quantizer.move(shared, lambda *both: torch.cat(both, dim=1), features, skip)

    return run


def _after(before: Callable[..., Tensor], unit: Unit) -> Unit:
    return replace(unit, run=lambda *inputs: unit.run(before(*inputs)))


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
