r"""The U-Net as a sequence of stages, each a sequence of units, and the skips that cross it.

Memory techniques and placement need to get between the parts of a network; its own `forward` hides
them. `run_stages` does the very operations of `smp.Unet.forward`, in order, as a loop:

    stem  layer1  layer2  layer3  layer4 | decoder0  decoder1  decoder2  decoder3  decoder4  head
      |      |       |       \______________/         |         |         |
      |      |       \________________________________/         |         |
      |      \__________________________________________________/         |
      \___________________________________________________________________/

A unit is a residual block, or convolution, BatchNorm and ReLU. What has no parameters of its own
(pooling, upsampling, concatenation) is what the unit after it does first, so that its output need
not live longer than that unit. An encoder that is not a ResNet is one stage of one unit.

A network of another kind names its stages itself (`Staged`). A U-Net with a part for which there is
no stage is refused. That the others are the library's operations is not taken on trust:
`comparison.py` compares both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.unet.decoder import UnetCenterBlock, UnetDecoderBlock
from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from torch import Tensor, nn

from radenhance.errors import UsageError

NUM_LEVELS = 5
"""Times that the encoder halves its input, and the decoder doubles it."""

Part = Callable[..., Tensor | tuple[Tensor, ...]]
"""Takes features, shape (N, C, H, W), and perhaps a skip; gives features, or skips and features."""


@dataclass(frozen=True)
class Unit:
    """The smallest part that a technique treats as one.

    Args:
        block: The function that it computes.
        modules: The modules that it uses for that, with their parameters and buffers.
        before: A function without parameters that its input goes through first, such as pooling
            or `Upsampling`.
        recomputes: Whether its backward pass makes by itself what it needs and was not kept, so
            that checkpointing leaves it alone.
    """

    block: Part
    modules: tuple[nn.Module, ...]
    before: Part | None = None
    recomputes: bool = False

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the unit's output."""
        return self.block(*inputs) if self.before is None else self.block(self.before(*inputs))


@dataclass(frozen=True)
class Stage:
    """The units between two skips.

    Args:
        name: A name such as stem, layer1, decoder0 or head.
        units: The units in order; the first one gets the skip, if there is one.
        gives_skip: Whether its output is needed again in the decoder.
        takes_skip: Whether it needs the deepest skip that is left.
    """

    name: str
    units: tuple[Unit, ...]
    gives_skip: bool = False
    takes_skip: bool = False

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules of all units."""
        return tuple(module for unit in self.units for module in unit.modules)

    @property
    def upsampling(self) -> "Upsampling | None":
        """How it upsamples its input, if it is a stage of the decoder."""
        first = self.units[0].before
        return first if isinstance(first, Upsampling) else None

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the stage's output: features, or skips and features."""
        return _one_after_the_other(self.units, inputs)

    def run(self, features: Tensor, skips: list[Tensor]) -> Tensor:
        """Return its features; take a skip from the open ones, and leave there what it gives.

        Args:
            features: What the stage before gave.
            skips: The open skips, the deepest last.
        """
        result = self(features, skips.pop()) if self.takes_skip else self(features)
        *more, features = result if isinstance(result, tuple) else (result,)
        skips.extend(more)
        if self.gives_skip:
            skips.append(features)
        return features


@dataclass(frozen=True)
class Sequential:
    """Parts one after the other, the first one with the skip.

    Args:
        parts: The parts in order.
    """

    parts: Sequence[Part]

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the output of the last part."""
        return _one_after_the_other(self.parts, inputs)


def _one_after_the_other(
    parts: Sequence[Part], inputs: Sequence[Tensor]
) -> Tensor | tuple[Tensor, ...]:
    result = parts[0](*inputs)
    for part in parts[1:]:
        result = part(result)
    return result


@dataclass(frozen=True)
class Upsampling:
    """Twice as many rows and columns, with the channels of the skip beside them.

    Args:
        mode: A mode of `F.interpolate`.
    """

    mode: str

    def __call__(self, features: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return a map of shape (N, C + S, 2H, 2W).

        Args:
            features: Shape (N, C, H, W).
            skip: Shape (N, S, 2H, 2W), if the stage has one.
        """
        rows, columns = 2 * features.shape[-2], 2 * features.shape[-1]
        features = F.interpolate(features, (rows, columns), mode=self.mode)
        return features if skip is None else torch.cat([features, skip], dim=1)


@dataclass(frozen=True)
class SkipsAndFeatures:
    """All feature maps of an encoder of the library, as the output of one stage.

    Args:
        encoder: The encoder.
    """

    encoder: nn.Module

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the skips and the features, without the first map, which is the image itself."""
        return tuple(self.encoder(image)[1:])


@runtime_checkable
class Staged(Protocol):
    """A network that names its stages itself.

    Its `forward(image)` returns `run_stages(self.stages(), image)`.
    """

    stride: int
    """Input pixels per pixel of its smallest map; sides of images must be multiples of it."""

    def stages(self) -> list[Stage]:
        """Return the stages in the order in which they run, each skip given and taken once."""


def run_stages(
    stages: Sequence[Stage], features: Tensor, skips: list[Tensor] | None = None
) -> Tensor:
    """Return the network's output, or the features after the last of `stages`.

    Args:
        stages: All stages that `stages_of` gives, or some that follow each other.
        features: The image, shape (N, 1, H, W), both sides multiples of 32; or the features that
            the stage before gave.
        skips: The skips that are open before the first stage, the deepest last; left in it are
            those that are open after the last stage. None where there are none, as before the stem.
    """
    skips = [] if skips is None else skips
    for stage in stages:
        features = stage.run(features, skips)
    return features


def networks_in(module: nn.Module) -> list[nn.Module]:
    """Return the networks that can be taken apart and are trained, none within another one."""
    found: list[nn.Module] = []
    for part in module.modules():
        inside = any(part is one for network in found for one in network.modules())
        trained = any(parameter.requires_grad for parameter in part.parameters())
        if isinstance(part, Staged | smp.Unet) and trained and not inside:
            found.append(part)
    return found


def stride_of(network: nn.Module) -> int:
    """Return of what the sides of a network's images must be multiples."""
    return network.stride if isinstance(network, Staged) else 2**NUM_LEVELS


def stages_of(unet: nn.Module) -> list[Stage]:
    """Return the stages of a network in the order in which they run.

    Args:
        unet: A `Staged` network, or a U-Net of segmentation-models-pytorch.

    Raises:
        UsageError: It has a part for which there is no stage.
    """
    if isinstance(unet, Staged):
        return unet.stages()
    assert isinstance(unet, smp.Unet)
    _refuse_other_parts(unet)
    encoder, center = unet.encoder, unet.decoder.center
    known = isinstance(encoder, ResNetEncoder)
    return [
        *(_resnet_stages(encoder) if known else [_whole_encoder(encoder)]),
        *([Stage("center", _units(center))] if isinstance(center, UnetCenterBlock) else []),
        *_decoder_stages(unet),
        Stage("head", _units([unet.segmentation_head])),
    ]


def is_plain(convolution: nn.Conv2d) -> bool:
    """Return whether it is 3x3, of all channels, and pads with one row of zeros."""
    return shape_of(convolution) == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def shape_of(convolution: nn.Conv2d) -> tuple[object, ...]:
    """Return kernel, stride, padding, dilation, groups and padding mode."""
    c = convolution
    return c.kernel_size, c.stride, c.padding, c.dilation, c.groups, c.padding_mode


def _refuse_other_parts(unet: smp.Unet) -> None:
    """Refuse what would be left out in silence, or has weights that its own `forward` leaves out.

    Without a skip, the attention of the library's last decoder block is not run; with fewer levels,
    the deeper layers of its encoders are not.
    """
    blocks = list(unet.decoder.blocks)
    attention = [block.attention1.attention for block in blocks]
    if len(blocks) != NUM_LEVELS:
        got = f"encoder_depth={len(blocks)}"
    elif not all(isinstance(part, nn.Identity) for part in attention):
        got = f"decoder attention ({type(attention[0]).__name__})"
    elif unet.classification_head is not None:
        got = "a classification head (aux_params)"
    else:
        return
    raise UsageError(
        f"a U-Net with {got} cannot be taken apart into stages; leave that out, for "
        f"encoder_depth={NUM_LEVELS} and no more than encoder, decoder and segmentation head"
    )


def _units(blocks: Sequence[nn.Module] | nn.Sequential) -> tuple[Unit, ...]:
    return tuple(Unit(block, (block,)) for block in blocks)


def _resnet_stages(encoder: ResNetEncoder) -> list[Stage]:
    stem = Sequential((encoder.conv1, encoder.bn1, encoder.relu))
    first, *rest = encoder.layer1
    pool_and_first = Unit(first, (first,), before=encoder.maxpool)
    return [
        Stage("stem", (Unit(stem, (encoder.conv1, encoder.bn1)),), gives_skip=True),
        Stage("layer1", (pool_and_first, *_units(rest)), gives_skip=True),
        Stage("layer2", _units(encoder.layer2), gives_skip=True),
        Stage("layer3", _units(encoder.layer3), gives_skip=True),
        Stage("layer4", _units(encoder.layer4)),  # its output is the decoder's input, not a skip
    ]


def _whole_encoder(encoder: nn.Module) -> Stage:
    return Stage("encoder", (Unit(SkipsAndFeatures(encoder), (encoder,)),))


def _decoder_stages(unet: smp.Unet) -> list[Stage]:
    blocks = list(unet.decoder.blocks)
    return [
        Stage(f"decoder{i}", _decoder_units(block), takes_skip=i < len(blocks) - 1)
        for i, block in enumerate(blocks)
    ]


def _decoder_units(block: UnetDecoderBlock) -> tuple[Unit, ...]:
    upsampling = Upsampling(block.interpolation_mode)
    return Unit(block.conv1, (block.conv1,), before=upsampling), *_units([block.conv2])
