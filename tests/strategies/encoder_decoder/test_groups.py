"""Which process does what, and whom it talks to."""

import torch.distributed as dist

from radenhance.strategies.encoder_decoder.groups import Groups, name_of, pipeline_of, stage_of


def test_every_pipeline_has_a_decoder_and_then_an_encoder():
    assert [stage_of(rank) for rank in range(4)] == ["decoder", "encoder"] * 2
    assert [pipeline_of(rank) for rank in range(4)] == [0, 0, 1, 1]
    assert name_of(3) == "the encoder (rank 3)"


def test_pairs_train_one_network_and_replicas_have_one_stage(monkeypatch):
    of_rank = {}
    for rank in range(4):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(dist, "get_world_size", lambda: 4)
        asked = []
        monkeypatch.setattr(
            dist, "new_group", lambda ranks, asked=asked, **_: asked.append(ranks) or ranks
        )
        groups = Groups(timeout_s=1)
        of_rank[rank] = (groups.pair, groups.replicas, groups.listening)
        # torch.distributed asks all processes to make all groups, in the same order
        assert asked == [[0, 1], [2, 3], [0, 2], [1, 3], [0, 1, 2, 3]]
    assert of_rank == {
        0: ([0, 1], [0, 2], [0, 1, 2, 3]),
        1: ([0, 1], [1, 3], [0, 1, 2, 3]),
        2: ([2, 3], [0, 2], [0, 1, 2, 3]),
        3: ([2, 3], [1, 3], [0, 1, 2, 3]),
    }
