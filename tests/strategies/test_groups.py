"""Which processes train on one batch, and which have the same part of it."""

import threading

import pytest
import torch.distributed as dist

from radenhance.errors import StageError
from radenhance.strategies.groups import Groups, make_groups


def test_processes_that_do_not_connect_after_all_met_say_so_in_time(monkeypatch):
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "new_group", lambda *_, **__: threading.Event().wait())
    with pytest.raises(StageError, match="rank 0 met all others, but they do not connect within"):
        make_groups(2, operation_s=3600, timeout_s=0.1)


def test_consecutive_ranks_are_a_team_and_replicas_have_the_same_place(monkeypatch):
    of_rank = {}
    for rank in range(6):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(dist, "get_world_size", lambda: 6)
        asked = []
        monkeypatch.setattr(
            dist, "new_group", lambda ranks, asked=asked, **_: asked.append(ranks) or ranks
        )
        groups = Groups(team_size=3, operation_s=1)
        of_rank[rank] = (groups.team, groups.replicas)
        assert groups.listening == list(range(6))
        # torch.distributed asks all processes to make all groups, in the same order
        assert asked == [[0, 1, 2], [3, 4, 5], [0, 3], [1, 4], [2, 5], list(range(6))]
    assert of_rank == {
        0: ([0, 1, 2], [0, 3]),
        1: ([0, 1, 2], [1, 4]),
        2: ([0, 1, 2], [2, 5]),
        3: ([3, 4, 5], [0, 3]),
        4: ([3, 4, 5], [1, 4]),
        5: ([3, 4, 5], [2, 5]),
    }
