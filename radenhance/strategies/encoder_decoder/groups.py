"""The processes of a run: a decoder and an encoder for each pipeline.

    rank       0         1         2         3
    stage   decoder   encoder   decoder   encoder      pairs train one network:   [0 1] [2 3]
    pipeline   0         0         1         1         replicas have one stage:   [0 2] [1 3]

The decoder has the lower rank, where Lightning keeps logger, progress bar and checkpoints, so that
a step that logs images reaches them. The two of a pipeline are on one machine where it has two
GPUs, so that features stay inside of it and only gradients go from machine to machine.
"""

from datetime import timedelta
from typing import Literal, cast

import torch.distributed as dist
from torch.distributed import ProcessGroup

StageName = Literal["encoder", "decoder"]

STAGES: tuple[StageName, ...] = ("encoder", "decoder")
"""In the order in which they run."""

NUM_STAGES = len(STAGES)

GROUP_RANK: dict[StageName, int] = {"decoder": 0, "encoder": 1}
"""Stage -> rank within its pipeline."""


def stage_of(rank: int) -> StageName:
    """Return the stage that the process of a global rank runs."""
    return next(name for name, number in GROUP_RANK.items() if number == rank % NUM_STAGES)


def pipeline_of(rank: int) -> int:
    """Return the number of the pipeline that the process of a global rank belongs to."""
    return rank // NUM_STAGES


def name_of(rank: int) -> str:
    """Return what a process is called in a message, such as: the encoder (rank 1)."""
    return f"the {stage_of(rank)} (rank {rank})"


class Groups:
    """The process groups that this process is in; torch.distributed has been started.

    Args:
        timeout_s: Seconds that an operation of a group may take.
    """

    pair: ProcessGroup
    """The two processes of this pipeline, the decoder first."""

    replicas: ProcessGroup
    """The processes that run this stage, by pipeline."""

    listening: ProcessGroup
    """All processes, without a time-out, over gloo."""

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
