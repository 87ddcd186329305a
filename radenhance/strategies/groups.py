"""The processes of a run, in teams: each team trains on a batch, with all that it takes.

    rank       0    1    2    3
    team       0    0    1    1      teams train on one batch:         [0 1] [2 3]
                                     replicas have the same part:      [0 2] [1 3]

Consecutive ranks are a team, so that what it sends stays inside a machine that has devices enough,
and only gradients go from machine to machine.
"""

import threading
from datetime import timedelta
from typing import cast

import torch.distributed as dist
from torch.distributed import ProcessGroup

from radenhance.errors import StageError


class Groups:
    """The process groups that this process is in; torch.distributed has been started.

    Args:
        team_size: Processes of a team, of which their number is a multiple.
        operation_s: Seconds that an operation of a group may take. gloo's messages from one process
            to another keep to what a group was made with, whatever is set later.
    """

    team: ProcessGroup
    """The processes of this team."""

    replicas: ProcessGroup
    """The processes that have this one's place in their teams, by team."""

    listening: ProcessGroup
    """All processes, without a time-out, over gloo."""

    def __init__(self, team_size: int, operation_s: float) -> None:
        timeout, own, num = timedelta(seconds=operation_s), dist.get_rank(), dist.get_world_size()
        for first in range(0, num, team_size):
            ranks = list(range(first, first + team_size))
            group = _new_group(ranks, timeout)
            if own in ranks:
                self.team = group
        for place in range(team_size):
            ranks = list(range(place, num, team_size))
            group = _new_group(ranks, timeout)
            if own in ranks:
                self.replicas = group
        self.listening = _new_group(list(range(num)), timedelta(days=365), "gloo")


def make_groups(team_size: int, *, operation_s: float, timeout_s: float) -> Groups:
    """Return the groups; all processes must call it at the same time.

    Args:
        team_size: Processes of a team.
        operation_s: Seconds that an operation of a group may take.
        timeout_s: Seconds that making them may take.

    Raises:
        StageError: They are not made in time, as a process has died since all met.
    """
    made: list[Groups | RuntimeError] = []

    def make() -> None:
        try:
            made.append(Groups(team_size, operation_s))
        except RuntimeError as error:
            made.append(error)

    thread = threading.Thread(target=make, daemon=True)  # gloo would wait for `operation_s`
    thread.start()
    thread.join(timeout_s)
    result = made[0] if made else None
    if isinstance(result, Groups):
        return result
    raise StageError(
        f"rank {dist.get_rank()} met all others, but they do not connect within {timeout_s:g} s: "
        f"one of them died, or the network between them is cut; start all of them again"
    ) from result


def _new_group(ranks: list[int], timeout: timedelta, backend: str | None = None) -> ProcessGroup:
    return cast(ProcessGroup, dist.new_group(ranks, timeout=timeout, backend=backend))
