"""Decoder stages that run in bands of rows: training on whole images that would not fit at once.

At 4096 px the last decoder stage of a U-Net with a ResNet-34 alone takes 8.7 GiB in training, so
that no checkpointing of whole stages or of their units brings the network onto a card of 8 GB.
Tiles of the image would; but a BatchNorm has the statistics of its tile then, and convolutions the
tile's edge. Here the image stays whole: stages run in bands of rows (`decoder.py`), with halos
and with the statistics of all bands, and give what they give at once but for the order of sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from typing_extensions import override

from radenhance.errors import ParameterError, UsageError
from radenhance.memory.banding.decoder import BandedStage
from radenhance.memory.banding.residual import BandedLayer, NormedConvolution, ResidualBlock
from radenhance.memory.banding.stem import BandedStem
from radenhance.memory.checkpointing import Checkpointing, recomputed
from radenhance.memory.technique import Technique
from radenhance.network.stages import Stage, Unit, Upsampling, is_plain, shape_of

BandRows = int | Literal["auto"]

BAND_VALUES = 2**21
"""Values in a band of one map under "auto": 8 MiB in float32, which few maps have at a time."""


LARGE_LAYERS = ("layer1", "layer2")
"""Layers of a ResNet whose maps are so large that all of one layer would be the peak."""


@dataclass(frozen=True)
class Banding(Technique):
    """Run decoder stages, and the stem of a ResNet, in bands of rows.

    Args:
        rows: Rows of a band, rounded up to an even number, as each row becomes two when it is
            upsampled; auto for as many as make up `BAND_VALUES`; 0 for whole images.
        by_stages: Whether to keep nothing but what goes from stage to stage, residual layers in
            bands too.
    """

    rows: BandRows = 0
    by_stages: bool = False

    parameter: ClassVar[str] = "MemoryTechniques.band_rows"
    reorders_sums: ClassVar[bool] = True
    examples: ClassVar = ({"band_rows": 5},)

    def __post_init__(self) -> None:
        if self.rows != "auto" and (not isinstance(self.rows, int) or self.rows < 0):
            expected = "a number of rows such as 128, auto, or 0 for none"
            raise ParameterError(self.parameter, got=self.rows, expected=expected)

    @property
    @override
    def is_on(self) -> bool:
        return self.rows != 0

    @override
    def running(self, stages: list[Stage]) -> list[Stage]:
        """Return the stages with those of the decoder, and the stem, in bands.

        A stem runs as part of the stages that need its map: the stem stage gives the image then,
        and so does the skip. Without both ends of that skip, as on one device of two, and where its
        layers are others, it stays as it is.

        Raises:
            UsageError: A decoder stage is not made of what can run in bands.
        """
        stem = _stem(stages, self.rows)
        result = list(stages) if stem is None else _with_stem(stages, stem)
        last_skip = max((i for i, stage in enumerate(stages) if stage.takes_skip), default=None)
        if self.by_stages:
            result = [
                self._in_layers(stages, index, stage, stem) for index, stage in enumerate(result)
            ]
        for index, stage in enumerate(stages):
            if stage.upsampling is None:
                continue
            head = _head(stages[index + 1]) if index + 1 < len(stages) else None
            banded = replace(
                _banded(stage, head, self.rows),
                stem=stem if index == last_skip else None,
                keeps_map=not self.by_stages,
                owns_features=index > 0 and stages[index - 1].upsampling is not None,
                owns_gradient=head is None and _is_banded(stages[index + 1 :]),
            )
            unit = Unit(banded, stage.modules, recomputes=True)
            result[index] = replace(stage, units=(unit,))
            if head is not None:
                result[index + 1] = _passed_on(stages[index + 1])
        return result

    def _in_layers(
        self, stages: Sequence[Stage], index: int, stage: Stage, stem: BandedStem | None
    ) -> Stage:
        """Return a layer of the encoder in bands, or the stage as it is."""
        blocks = _blocks(stage)
        if blocks is None:
            return stage
        before = stage.units[0].before
        from_stem = stem is not None and index == 1
        if before is not None and not from_stem:
            before = recomputed(before, ())
        (otherwise,) = Checkpointing("stage").running([stage])
        layer = BandedLayer(
            blocks,
            partial(_rows_of_band, self.rows),
            otherwise,
            before=None if from_stem else before,
            stem=stem if from_stem else None,
            keeps_maps=stage.name not in LARGE_LAYERS,
            # it is the sum of what stages in bands make, and nobody else has it
            owns_gradient=_is_banded(stages[index + 1 :]) and _skips_end_in(stages),
        )
        return replace(stage, units=(Unit(layer, stage.modules, recomputes=True),))


def _blocks(stage: Stage) -> tuple[ResidualBlock, ...] | None:
    """Return the residual blocks of a stage, if it is made of those that can run in bands."""
    if not stage.name.startswith("layer"):
        return None
    blocks = []
    for index, unit in enumerate(stage.units):
        block: Any = unit.block
        if type(block) is not BasicBlock:
            return None
        shortcut = None
        if block.downsample is not None:
            parts = list(block.downsample.children())
            if index or [type(part) for part in parts] != [nn.Conv2d, nn.BatchNorm2d]:
                return None
            shortcut = NormedConvolution(*parts)
        layers = [
            NormedConvolution(block.conv1, block.bn1),
            NormedConvolution(block.conv2, block.bn2),
            *([] if shortcut is None else [shortcut]),
        ]
        if not _are_known(layers):
            return None
        blocks.append(ResidualBlock(layers[0], layers[1], shortcut))
    return tuple(blocks)


def _is_banded(stages: Sequence[Stage]) -> bool:
    """Return whether the first stage, if there is one, will run in bands."""
    return any(one.upsampling is not None or _blocks(one) is not None for one in stages[:1])


def _are_known(layers: Sequence[NormedConvolution]) -> bool:
    """Return whether the layers of a block are those that `ResidualBlock` knows."""
    first, second, *shortcut = (layer.convolution for layer in layers)
    stride = first.stride
    expected = [((3, 3), stride, (1, 1)), ((3, 3), (1, 1), (1, 1)), ((1, 1), stride, (0, 0))]
    return (
        stride in ((1, 1), (2, 2))
        and (bool(shortcut) or (stride == (1, 1) and first.in_channels == second.out_channels))
        and all(type(one.convolution) is nn.Conv2d for one in layers)
        and all(type(one.norm) is nn.BatchNorm2d and one.norm.affine for one in layers)
        and all(one.convolution.bias is None for one in layers)
        and all(
            shape_of(one) == (*shape, (1, 1), 1, "zeros")
            for one, shape in zip((first, second, *shortcut), expected, strict=False)
        )
    )


def _skips_end_in(stages: Sequence[Stage]) -> bool:
    """Return whether the stages take all skips that they give."""
    return sum(stage.takes_skip for stage in stages) == sum(stage.gives_skip for stage in stages)


def _with_stem(stages: Sequence[Stage], stem: BandedStem) -> list[Stage]:
    """Return stages of which the second computes what it needs of the stem by itself."""
    first, second, *rest = stages
    unit, *units = second.units
    modules = (stem.convolution, stem.norm, *unit.modules)
    pool_and_first = replace(unit, modules=modules, before=stem.pooled)
    return [_passed_on(first), replace(second, units=(pool_and_first, *units)), *rest]


def _passed_on(stage: Stage) -> Stage:
    """Return a stage that gives what it gets, as others compute what it did."""
    return replace(stage, units=(Unit(_as_it_is, stage.modules, recomputes=True),))


def _as_it_is(features: Tensor) -> Tensor:
    return features


def _banded(stage: Stage, head: nn.Conv2d | None, rows: BandRows) -> BandedStage:
    layers = [_layer(module) for module in stage.modules]
    known = [layer for layer in layers if layer is not None]
    if stage.upsampling != Upsampling("nearest") or len(known) != 2 or len(layers) != 2:
        raise UsageError(
            f"{Banding.parameter} needs decoder stages of nearest upsampling, 3x3 convolutions and "
            f"BatchNorm, which {stage.name} is not; use MemoryTechniques(band_rows=0) for this "
            f"network"
        )
    (first, first_norm), (second, second_norm) = known
    rows_of_band = partial(_rows_of_band, rows)
    return BandedStage((first, second), (first_norm, second_norm), head, rows_of_band)


def _stem(stages: Sequence[Stage], rows: BandRows) -> BandedStem | None:
    """Return the stem of a ResNet if its skip ends in these stages and it does just that."""
    if stages[0].name != "stem" or not _skips_end_in(stages):
        return None
    convolution, norm = stages[0].modules
    pool = stages[1].units[0].before
    if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return None
    known = (
        shape_of(convolution) == ((7, 7), (2, 2), (3, 3), (1, 1), 1, "zeros")
        and convolution.bias is None
        and norm.affine
        and type(pool) is nn.MaxPool2d
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
        == (3, 2, 1, 1, False)
    )
    return BandedStem(convolution, norm, partial(_rows_of_band, rows)) if known else None


def _layer(module: nn.Module) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """Return a layer's parts if a banded stage computes just that; subclasses may do otherwise."""
    parts = list(module.children())
    if [type(part) for part in parts] != [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
        return None
    convolution, norm, _ = parts
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    plain = is_plain(convolution) and convolution.bias is None and norm.affine
    return (convolution, norm) if plain else None


def _head(stage: Stage) -> nn.Conv2d | None:
    """Return the head's convolution if the stage is a head that does nothing else."""
    if stage.name != "head":
        return None
    (head,) = stage.modules
    convolution, *rest = (module for module in head.modules() if not list(module.children()))
    if type(convolution) is not nn.Conv2d or not is_plain(convolution):
        return None
    return convolution if all(isinstance(module, nn.Identity) for module in rest) else None


def _rows_of_band(rows: BandRows, shape: tuple[int, ...]) -> int:
    """Return the even number of rows of a band of a map of shape (N, C, H, W)."""
    batch, channels, _, columns = shape
    wanted = BAND_VALUES // (batch * channels * columns) if rows == "auto" else rows
    return max(2, wanted + wanted % 2)
