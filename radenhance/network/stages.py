"""The U-Net as a sequence of stages, each a sequence of units, and the skips that cross it.

Memory techniques and placement need to get between the parts of a network; its own `forward` hides
them. `run_stages` does the very operations of `smp.Unet.forward`, in order, as a loop:

    stem  layer1  layer2  layer3  layer4 | decoder0  decoder1  decoder2  decoder3  decoder4  head
      |      |       |       \\______________/         |         |         |
      |      |       \\________________________________/         |         |
      |      \\__________________________________________________/         |
      \\___________________________________________________________________/

A unit is a residual block, or convolution, BatchNorm and ReLU. What has no parameters of its own
(pooling, upsampling, concatenation) belongs to the unit after it, so that its output need not live
longer than that unit. An encoder that is not a ResNet is one stage of one unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from torch import Tensor, nn

Part = Callable[..., Tensor | tuple[Tensor, ...]]
"""Takes features, shape (N, C, H, W), and perhaps a skip; gives features, or skips and features."""


@dataclass(frozen=True)
class Unit:
    """The smallest part that a technique treats as one.

    Args:
        run: What it computes.
        modules: What it uses for that, for their parameters and buffers.
    """

    run: Part
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Stage:
    """The units between two skips.

    Args:
        name: Such as stem, layer1, decoder0 or head.
        units: In order; the first one gets the skip, if there is one.
        gives_skip: Whether its output is needed again in the decoder.
        takes_skip: Whether it needs the deepest skip that is left.
        upsampling: How it first enlarges its input twice, as `F.interpolate` calls it, if it does.
        pooling: What its first unit does before its block, if it shrinks its input so.
    """

    name: str
    units: tuple[Unit, ...]
    gives_skip: bool = False
    takes_skip: bool = False
    upsampling: str | None = None
    pooling: nn.Module | None = None


def run_stages(
    stages: Sequence[Stage],
    parts: Sequence[Part],
    features: Tensor,
    skips: list[Tensor] | None = None,
) -> Tensor:
    """Return the network's output, or the features after the last of `stages`.

    Args:
        stages: As `stages_of` gives them: all, or some that follow each other.
        parts: What to run for each of them.
        features: The image, shape (N, 1, H, W), both sides multiples of 32; or the features that
            the stage before gave.
        skips: The skips that are open before the first stage, the deepest last; left in it are
            those that are open after the last stage. None where there are none, as before the stem.
    """
    skips = [] if skips is None else skips
    for stage, part in zip(stages, parts, strict=True):
        result = part(features, skips.pop()) if stage.takes_skip else part(features)
        if isinstance(result, tuple):
            *more, features = result
            skips.extend(more)
        else:
            features = result
        if stage.gives_skip:
            skips.append(features)
    return features


def one_after_the_other(parts: Sequence[Part]) -> Part:
    """Return a part that runs several, the first one with the skip."""

    def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        result = parts[0](*inputs)
        for part in parts[1:]:
            result = part(result)
        return result

    return run


def stages_of(unet: smp.Unet) -> list[Stage]:
    """Return the stages of a U-Net in the order in which they run."""
    encoder = unet.encoder
    known = isinstance(encoder, ResNetEncoder)
    head = Unit(unet.segmentation_head, (unet.segmentation_head,))
    return [
        *(_resnet_stages(encoder) if known else [_whole_encoder(encoder)]),
        *_decoder_stages(unet),
        Stage("head", (head,)),
    ]


def _resnet_stages(encoder: ResNetEncoder) -> list[Stage]:
    def stem(image: Tensor) -> Tensor:
        result: Tensor = encoder.relu(encoder.bn1(encoder.conv1(image)))
        return result

    first, *rest = encoder.layer1

    def pool_and_first(features: Tensor) -> Tensor:
        result: Tensor = first(encoder.maxpool(features))
        return result

    layer1 = (Unit(pool_and_first, (first,)), *(Unit(block, (block,)) for block in rest))
    layers = [
        Stage(name, tuple(Unit(block, (block,)) for block in getattr(encoder, name)), True)
        for name in ("layer2", "layer3", "layer4")
    ]
    deepest = Stage("layer4", layers[-1].units)  # its output is the decoder's input, not a skip
    return [
        Stage("stem", (Unit(stem, (encoder.conv1, encoder.bn1)),), gives_skip=True),
        Stage("layer1", layer1, gives_skip=True, pooling=encoder.maxpool),
        *layers[:-1],
        deepest,
    ]


def _whole_encoder(encoder: nn.Module) -> Stage:
    def encode(image: Tensor) -> tuple[Tensor, ...]:
        return tuple(encoder(image)[1:])  # without the image itself

    return Stage("encoder", (Unit(encode, (encoder,)),))


def _decoder_stages(unet: smp.Unet) -> list[Stage]:
    blocks = list(unet.decoder.blocks)
    return [
        Stage(
            f"decoder{i}",
            _decoder_units(block),
            takes_skip=i < len(blocks) - 1,
            upsampling=block.interpolation_mode,
        )
        for i, block in enumerate(blocks)
    ]


def _decoder_units(block: UnetDecoderBlock) -> tuple[Unit, ...]:
    def up_and_first(features: Tensor, skip: Tensor | None = None) -> Tensor:
        rows, columns = 2 * features.shape[-2], 2 * features.shape[-1]
        features = F.interpolate(features, (rows, columns), mode=block.interpolation_mode)
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        result: Tensor = block.conv1(features)
        return result

    return (Unit(up_and_first, (block.conv1,)), Unit(block.conv2, (block.conv2,)))
