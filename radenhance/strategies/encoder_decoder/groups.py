"""The processes of a run: a decoder and an encoder for each pipeline.

    rank       0         1         2         3
    stage   decoder   encoder   decoder   encoder      pairs train one network:   [0 1] [2 3]
    pipeline   0         0         1         1         replicas have one stage:   [0 2] [1 3]

Those of one machine are in one pipeline where it has two GPUs, so that the features stay inside of
it and gradients alone go from machine to machine.
"""

from datetime import timedelta
from typing import cast

import torch.distributed as dist
from torch.distributed import ProcessGroup

from radenhance.strategies.encoder_decoder.schedule import GROUP_RANK, StageName

NUM_STAGES = len(GROUP_RANK)


def stage_of(rank: int) -> StageName:
    """Return which half runs in the process of a global rank."""
    return next(name for name, number in GROUP_RANK.items() if number == rank % NUM_STAGES)


def pipeline_of(rank: int) -> int:
    """Return which pipeline the process of a global rank belongs to."""
    return rank // NUM_STAGES


def called(rank: int) -> str:
    """Return what a process is called in a sentence."""
    return f"the {stage_of(rank)} (rank {rank})"


class Groups:
    """Those that this process is in; torch.distributed has been started.

    Args:
        timeout_s: Of an operation in seconds.
    """

    pair: ProcessGroup
    """The two of this pipeline, the decoder first."""

    replicas: ProcessGroup
    """Those that run this stage, by pipeline."""

    listening: ProcessGroup
    """All of them, without a time-out, over gloo."""

    def __init__(self, timeout_s: float) -> None:
        timeout, own, num = timedelta(seconds=timeout_s), dist.get_rank(), dist.get_world_size()
        for first in range(0, num, NUM_STAGES):
            ranks = list(range(first, first + NUM_STAGES))
            group = _new_group(ranks, timeout)
            if own in ranks:
                self.pair = group
        for stage in range(NUM_STAGES):
            ranks = list(range(stage, num, NUM_STAGES))
            group = _new_group(ranks, timeout)
            if own in ranks:
                self.replicas = group
        self.listening = _new_group(list(range(num)), timedelta(days=365), "gloo")


def _new_group(ranks: list[int], timeout: timedelta, backend: str | None = None) -> ProcessGroup:
    return cast(ProcessGroup, dist.new_group(ranks, timeout=timeout, backend=backend))
