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
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from radenhance.network.stages import Part, Stage, one_after_the_other

Checkpointing = Literal["none", "stage", "unit"]


def checkpointed_parts(stages: Sequence[Stage], mode: Checkpointing) -> list[Part]:
    """Return what to run for each stage.

    Args:
        stages: Of the network, in order.
        mode: none runs them as they are; stage and unit keep only the inputs of those.
    """
    return [_stage_part(stage, mode) for stage in stages]


def recomputed(part: Part, modules: Sequence[nn.Module]) -> Part:
    """Return `part` such that its backward pass recomputes what it does not keep.

    Where no gradient is wanted it runs as it is. Random numbers are drawn again as the first time.

    Args:
        part: Any function of tensors.
        modules: Those it runs, whose buffers the recomputation must leave alone.
    """

    def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        if not torch.is_grad_enabled():
            return part(*inputs)
        result: Tensor | tuple[Tensor, ...] = checkpoint(
            part, *inputs, use_reentrant=False, context_fn=contexts
        )
        return result

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), unchanged_buffers(modules)

    return run


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


def _stage_part(stage: Stage, mode: Checkpointing) -> Part:
    units: list[Part] = [unit.run for unit in stage.units]
    if mode == "unit":
        units = [recomputed(unit.run, unit.modules) for unit in stage.units]
    whole = one_after_the_other(units)
    if mode != "stage":
        return whole
    return recomputed(whole, [module for unit in stage.units for module in unit.modules])
