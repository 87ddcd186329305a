"""Decoder stages that run in bands of rows: training on whole images that would not fit at once.

At 4096 px the last decoder stage of a U-Net with a ResNet-34 alone takes 8.7 GiB in training, so
that no checkpointing of whole stages or of their units brings the network onto a card of 8 GB.
Tiles of the image would; but a BatchNorm has the statistics of its tile then, and convolutions the
tile's edge. Here the image stays whole: stages run in bands of rows (`banded_stage.py`), with halos
and with the statistics of all bands, and give what they give at once but for the order of sums.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn

from radenhance.errors import UsageError
from radenhance.memory.banded_stage import BandedStage
from radenhance.network.stages import Part, Stage

BandRows = int | Literal["auto"]

BAND_VALUES = 2**20
"""Values in a band of one map under "auto": 4 MiB in float32, and a dozen such maps at a time."""


def banded_parts(stages: Sequence[Stage], parts: Sequence[Part], band_rows: BandRows) -> list[Part]:
    """Return what to run for each stage, decoder stages in bands.

    Args:
        stages: All or some that follow each other, of those of a network.
        parts: What runs for them otherwise.
        band_rows: Rows of a band, rounded up to an even number, as an enlarged row is two; or auto
            for as many as make up `BAND_VALUES`.

    Raises:
        UsageError: A decoder stage is not made of what can run in bands.
    """
    result = list(parts)
    for index, stage in enumerate(stages):
        if not stage.enlarging:
            continue
        head = _head(stages[index + 1]) if index + 1 < len(stages) else None
        result[index] = _banded(stage, head, band_rows)
        if head is not None:
            result[index + 1] = _as_it_is
    return result


def _banded(stage: Stage, head: nn.Conv2d | None, band_rows: BandRows) -> BandedStage:
    layers = [_layer(module) for unit in stage.units for module in unit.modules]
    known = [layer for layer in layers if layer is not None]
    if stage.enlarging != "nearest" or len(known) != 2 or len(layers) != 2:
        raise UsageError(
            f"--model.memory.band_rows needs decoder stages of nearest enlarging, 3x3 convolutions "
            f"and BatchNorm, which {stage.name} is not; leave band_rows at 0 for this network"
        )
    (first, first_norm), (second, second_norm) = known
    rows_of_band = partial(_rows_of_band, band_rows)
    return BandedStage((first, second), (first_norm, second_norm), head, rows_of_band)


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
    c = convolution
    shape = (c.kernel_size, c.stride, c.padding, c.dilation, c.groups, c.padding_mode)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def _rows_of_band(band_rows: BandRows, shape: tuple[int, ...]) -> int:
    """Return the even number of rows of a band of a map of shape (N, C, H, W)."""
    batch, channels, _, columns = shape
    wanted = BAND_VALUES // (batch * channels * columns) if band_rows == "auto" else band_rows
    return max(2, wanted + wanted % 2)


def _as_it_is(features: Tensor) -> Tensor:
    """Stand in for the head, which ran with the last stage."""
    return features
