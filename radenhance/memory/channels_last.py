"""Feature maps with the channels of a pixel side by side, as a GPU's tensor cores read them.

A convolution in half precision or TensorFloat-32 works on maps in this layout, and converts others
before and after. Where all maps have it nothing is converted, and BatchNorm takes a fraction of the
time. The function is the same, up to the rounding of sums; parameters, their gradients and
checkpoints stay as they are. In true float32 there is nothing to gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from radenhance.memory.technique import Technique, refuse_other_than
from radenhance.network.stages import Stage
from radenhance.rows.operators import by_hand

ChannelsLastMode = bool | Literal["auto"]


@dataclass(frozen=True)
class ChannelsLast(Technique):
    """Lay feature maps out with their channels last.

    Args:
        mode: Whether to do so; auto for where a GPU computes in half precision or TensorFloat-32,
            and nothing runs in bands.
        with_bands: Whether stages run in bands, whose rows are cut out of every channel.
    """

    mode: ChannelsLastMode = "auto"
    with_bands: bool = False

    parameter: ClassVar[str] = "MemoryTechniques.channels_last"
    reorders_sums: ClassVar[bool] = True
    examples: ClassVar[Sequence[dict[str, ChannelsLastMode]]] = ({"channels_last": True},)

    def __post_init__(self) -> None:
        refuse_other_than((True, False, "auto"), parameter=self.parameter, got=self.mode)

    @property
    @override
    def is_on(self) -> bool:
        return self.mode is True or (self.mode == "auto" and not self.with_bands)

    @override
    def running(self, stages: list[Stage]) -> list[Stage]:
        """Return the stages, each of which gets its maps so."""
        return [_laid_out(stage, self.mode) for stage in stages]


@dataclass(frozen=True)
class _ChannelsLastStage(Stage):
    mode: ChannelsLastMode = "auto"

    @override
    def run(self, features: Tensor, skips: list[Tensor]) -> Tensor:
        if self.mode is True or gains(features):
            features = channels_last(features)
            if self.takes_skip:
                skips[-1] = channels_last(skips[-1])
        return super().run(features, skips)


def _laid_out(stage: Stage, mode: ChannelsLastMode) -> Stage:
    if type(stage) is not Stage:
        return stage
    values = {field.name: getattr(stage, field.name) for field in fields(stage)}
    return _ChannelsLastStage(**values, mode=mode)


def gains(features: Tensor) -> bool:
    """Return whether convolutions of some maps run on tensor cores now."""
    if features.device.type != "cuda":
        return False
    half = (torch.float16, torch.bfloat16)
    if torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") in half:
        return features.dtype != torch.float64
    if features.dtype == torch.float32:
        return torch.backends.cudnn.allow_tf32
    return features.dtype in half


def channels_last(features: Tensor) -> Tensor:
    """Return maps, shape (N, C, H, W), with their channels last.

    One channel is laid out both ways: only its strides tell operators which one is meant.
    """
    if features.shape[1] != 1:
        return features.contiguous(memory_format=torch.channels_last)
    num, _, rows, columns = features.shape
    strides = (rows * columns, 1, columns, 1)
    with by_hand():  # where it lies is no question of whose rows they are
        return features.contiguous().as_strided((num, 1, rows, columns), strides)
