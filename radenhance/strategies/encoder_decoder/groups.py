"""The processes of a run: a decoder and an encoder for each pipeline.

    rank       0         1         2         3
    stage   decoder   encoder   decoder   encoder      pairs train one network:   [0 1] [2 3]
    pipeline   0         0         1         1         replicas have one stage:   [0 2] [1 3]

The decoder has the lower rank, where Lightning keeps logger, progress bar and checkpoints, so that
a step that logs images reaches them. The two of a pipeline are on one machine where it has two
GPUs, so that features stay inside of it and only gradients go from machine to machine.
"""

from typing import Literal

StageName = Literal["encoder", "decoder"]

STAGES: tuple[StageName, ...] = ("encoder", "decoder")
"""In the order in which they run."""

NUM_STAGES = len(STAGES)

GROUP_RANK: dict[StageName, int] = {"decoder": 0, "encoder": 1}
"""Stage -> rank within its pipeline."""


def stage_of(rank: int) -> StageName:
    """Return the stage that the process of a global rank runs."""
    return next(name for name, number in GROUP_RANK.items() if number == rank % NUM_STAGES)


def name_of(rank: int) -> str:
    """Return what a process is called in a message, such as: the encoder (rank 1)."""
    return f"the {stage_of(rank)} (rank {rank})"
