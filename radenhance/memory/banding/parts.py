"""Decoder stages that run in bands of rows: training on whole images that would not fit at once.

At 4096 px the last decoder stage of a U-Net with a ResNet-34 alone takes 8.7 GiB in training, so
that no checkpointing of whole stages or of their units brings the network onto a card of 8 GB.
Tiles of the image would; but a BatchNorm has the statistics of its tile then, and convolutions the
tile's edge. Here the image stays whole: stages run in bands of rows (`banded_stage.py`), with halos
and with the statistics of all bands, and give what they give at once but for the order of sums.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from torch import Tensor, nn

from radenhance.errors import UsageError
from radenhance.memory.banding.decoder import BandedStage
from radenhance.memory.banding.stem import BandedStem
from radenhance.network.stages import Part, Stage, Unit

BandRows = int | Literal["auto"]

BAND_VALUES = 2**21
"""Values in a band of one map under "auto": 8 MiB in float32, which few maps have at a time."""


def with_banded_stem(
    stages: Sequence[Stage], band_rows: BandRows
) -> tuple[list[Stage], BandedStem | None]:
    """Return stages whose stem runs in bands, as part of those that need it, and that stem.

    The stem stage gives the image then, and so does the skip. Stages without both ends of that
    skip, as on a device of several, and stems of other layers stay as they are.

    Args:
        stages: All or some that follow each other, of those of a network, for one run.
        band_rows: As in `banded_parts`.
    """
    stem = _stem(stages, band_rows)
    if stem is None:
        return list(stages), None
    first, second, *rest = stages
    unit, *units = second.units
    (block,) = unit.modules

    def pool_and_first(image: Tensor) -> Tensor:
        result: Tensor = block(stem.pooled(image))
        return result

    nothing = Unit(_as_it_is, first.units[0].modules)
    pooling = Unit(pool_and_first, (stem.convolution, stem.norm, block))
    return [replace(first, units=(nothing,)), replace(second, units=(pooling, *units)), *rest], stem


def banded_parts(
    stages: Sequence[Stage],
    parts: Sequence[Part],
    band_rows: BandRows,
    stem: BandedStem | None = None,
) -> list[Part]:
    """Return what to run for each stage, decoder stages in bands.

    Args:
        stages: All or some that follow each other, of those of a network.
        parts: What runs for them otherwise.
        band_rows: Rows of a band, rounded up to an even number, as an enlarged row is two; or auto
            for as many as make up `BAND_VALUES`.
        stem: Of `with_banded_stem`.

    Raises:
        UsageError: A decoder stage is not made of what can run in bands.
    """
    result = list(parts)
    last_skip = max((i for i, stage in enumerate(stages) if stage.takes_skip), default=None)
    for index, stage in enumerate(stages):
        if not stage.upsampling:
            continue
        head = _head(stages[index + 1]) if index + 1 < len(stages) else None
        banded = _banded(stage, head, band_rows)
        owns_features = index > 0 and isinstance(result[index - 1], BandedStage)
        own_stem = stem if index == last_skip else None
        result[index] = replace(banded, stem=own_stem, owns_features=owns_features)
        if head is not None:
            result[index + 1] = _as_it_is
    return result


def _banded(stage: Stage, head: nn.Conv2d | None, band_rows: BandRows) -> BandedStage:
    layers = [_layer(module) for unit in stage.units for module in unit.modules]
    known = [layer for layer in layers if layer is not None]
    if stage.upsampling != "nearest" or len(known) != 2 or len(layers) != 2:
        raise UsageError(
            f"--model.memory.band_rows needs decoder stages of nearest upsampling, 3x3 "
            f"convolutions and BatchNorm, which {stage.name} is not; leave band_rows "
            f"at 0 for this network"
        )
    (first, first_norm), (second, second_norm) = known
    rows_of_band = partial(_rows_of_band, band_rows)
    return BandedStage((first, second), (first_norm, second_norm), head, rows_of_band)


def _stem(stages: Sequence[Stage], band_rows: BandRows) -> BandedStem | None:
    """Return the stem of a ResNet if its skip ends in these stages and it does just that."""
    takes = sum(stage.takes_skip for stage in stages)
    if stages[0].name != "stem" or takes != sum(stage.gives_skip for stage in stages):
        return None
    convolution, norm = stages[0].units[0].modules
    pool = stages[1].pooling
    if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return None
    known = (
        _shape(convolution) == ((7, 7), (2, 2), (3, 3), (1, 1), 1, "zeros")
        and convolution.bias is None
        and norm.affine
        and type(pool) is nn.MaxPool2d
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
        == (3, 2, 1, 1, False)
    )
    return BandedStem(convolution, norm, partial(_rows_of_band, band_rows)) if known else None


def _layer(module: nn.Module) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """Return a layer's parts if a banded stage computes just that; subclasses may do otherwise."""
    parts = list(module.children())
    if [type(part) for part in parts] != [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
        return None
    convolution, norm, _ = parts
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    plain = _is_plain(convolution) and convolution.bias is None and norm.affine
    return (convolution, norm) if plain else None


def _head(stage: Stage) -> nn.Conv2d | None:
    """Return the head's convolution if the stage is a head that does nothing else."""
    if stage.name != "head":
        return None
    (head,) = stage.units[0].modules
    convolution, *rest = (module for module in head.modules() if not list(module.children()))
    if type(convolution) is not nn.Conv2d or not _is_plain(convolution):
        return None
    return convolution if all(isinstance(module, nn.Identity) for module in rest) else None


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Return whether it is 3x3, of all channels, and pads with one row of zeros."""
    return _shape(convolution) == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def _shape(convolution: nn.Conv2d) -> tuple[object, ...]:
    c = convolution
    return c.kernel_size, c.stride, c.padding, c.dilation, c.groups, c.padding_mode


def _rows_of_band(band_rows: BandRows, shape: tuple[int, ...]) -> int:
    """Return the even number of rows of a band of a map of shape (N, C, H, W)."""
    batch, channels, _, columns = shape
    wanted = BAND_VALUES // (batch * channels * columns) if band_rows == "auto" else band_rows
    return max(2, wanted + wanted % 2)


def _as_it_is(features: Tensor) -> Tensor:
    """Stand in for the stem, which others run, or for the head, which ran with the last stage."""
    return features
