"""Recomputing activations in the backward pass instead of keeping them.

torch.utils.checkpoint runs a part of the network a second time, and a BatchNorm in it updates its
running statistics a second time as well (pytorch/pytorch#96136, open since 2023): a network
trained so validates differently from one trained without. Here the buffers are put back after the
recomputation, so that statistics and counters are those of plain training, bit for bit.

What is kept decides what is saved. Of a part, its inputs are kept and everything inside is
recomputed:

    stage   only what crosses from stage to stage is kept; recomputing the last stage, at full
            resolution, is then the peak
    unit    what goes from unit to unit is kept; the recomputation never holds more than one unit

Upsampling and concatenation are inside their unit: kept are the small feature map and the skip,
which is there anyway, and not the concatenation, which is the largest tensor of a decoder stage.
Units that recompute by themselves, those of banded stages, stay as they are.

Backward through a recomputed unit begins at its ReLU, with the most at once: what the norm before
it got, what it gave, the gradient of that, and the gradient that it makes. What it gave is kept for
its sign alone, as the unit after it has its own copy; here it keeps the sign, a byte for a value.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from radenhance.memory.technique import Technique, refuse_other_than
from radenhance.network.stages import Part, Sequential, Stage, Unit
from radenhance.rows.operators import again

CheckpointingMode = Literal["none", "stage", "unit"]


@dataclass(frozen=True)
class Checkpointing(Technique):
    """Recompute what is inside of stages or units.

    Args:
        mode: The parts whose inputs are kept: stage or unit; none keeps everything.
    """

    mode: CheckpointingMode = "none"

    parameter: ClassVar[str] = "MemoryTechniques.checkpointing"
    examples: ClassVar = ({"checkpointing": "stage"}, {"checkpointing": "unit"})

    def __post_init__(self) -> None:
        refuse_other_than(get_args(CheckpointingMode), parameter=self.parameter, got=self.mode)

    @property
    @override
    def is_on(self) -> bool:
        return self.mode != "none"

    @override
    def running(self, stages: list[Stage]) -> list[Stage]:
        """Return the stages with their units recomputed, or each stage as one recomputed unit."""
        if self.mode == "stage":
            stages = [replace(stage, units=(_as_one_unit(stage),)) for stage in stages]
        return [replace(stage, units=tuple(map(_checkpointed, stage.units))) for stage in stages]


def _as_one_unit(stage: Stage) -> Unit:
    recomputes = all(unit.recomputes for unit in stage.units)
    return Unit(stage, stage.modules, recomputes=recomputes)


def _checkpointed(unit: Unit) -> Unit:
    if unit.recomputes:
        return unit
    keeps_less = replace(unit, block=_with_signs(unit.block))
    return Unit(recomputed(keeps_less, unit.modules), unit.modules)


def _with_signs(block: Part) -> Part:
    """Return a block whose ReLU, if it ends with one, keeps signs and not values."""
    if isinstance(block, Sequential):
        parts = list(block.parts)
    elif isinstance(block, nn.Sequential) and not isinstance(block, FSDPModule):
        parts = list(block)
    else:
        return block
    return Sequential((*parts[:-1], _relu)) if type(parts[-1]) is nn.ReLU else block


def _relu(features: Tensor) -> Tensor:
    result: Tensor = _ReLUOfSigns.apply(features)
    return result


class _ReLUOfSigns(torch.autograd.Function):
    """ReLU, in place, with the gradient of PyTorch's own."""

    @staticmethod
    @override
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.mark_dirty(features)
        ctx.save_for_backward(features <= 0)
        return features.relu_()

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (is_zero,) = ctx.saved_tensors
        return gradients[0].masked_fill(is_zero, 0)


def recomputed(part: Part, modules: Sequence[nn.Module]) -> Part:
    """Return `part` such that its backward pass recomputes what it does not keep.

    Where no gradient is wanted it runs as it is. Random numbers are drawn again as the first time.

    Args:
        part: A function of tensors.
        modules: The modules that it runs, whose buffers the recomputation must leave alone.
    """

    def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        if not torch.is_grad_enabled():
            return part(*inputs)
        result: Tensor | tuple[Tensor, ...] = checkpoint(
            part, *inputs, use_reentrant=False, context_fn=contexts
        )
        return result

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _recomputing(modules, again())

    return run


@contextmanager
def _recomputing(
    modules: Sequence[nn.Module], as_before: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    with unchanged_buffers(modules), as_before():
        yield


@contextmanager
def unchanged_buffers(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put back the buffers of `modules` when the block ends."""
    buffers = [buffer for module in modules for buffer in module.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            # .data: a graph that was made in the block saved the buffer, though a BatchNorm in
            # training never reads it again, and must not take this for a change
            buffer.data.copy_(value)
