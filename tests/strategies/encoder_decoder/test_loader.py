"""One process reads, and both have the batches."""

import pytest
import torch
from pairs import CPU, Reading, batches, in_a_pair

from radenhance.strategies.encoder_decoder.loader import broadcast_loader
from radenhance.strategies.peers import PeerGroup


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return in_a_pair(batches, tmp_path_factory.mktemp("pair"))


def test_the_encoder_gets_the_decoders_batches_names_and_types_included(both):
    decoder, encoder = both
    for ours, theirs in zip(decoder["epochs"], encoder["epochs"], strict=True):
        assert len(ours) == len(theirs) == 2
        for batch, other in zip(ours, theirs, strict=True):
            assert torch.equal(batch["raw"], other["raw"])
            assert other["raw"].dtype == torch.float64
            assert batch["case"] == other["case"]


def test_files_are_read_once(both):
    assert [of_rank["num_read"] for of_rank in both] == [4, 0]


def test_every_exchange_is_watched_that_of_the_end_too(both):
    assert [of_rank["exchanges"] for of_rank in both] == [8, 8]


def test_lightning_finds_the_loaders_attributes_and_position():
    loader = Reading()
    both = broadcast_loader(loader, PeerGroup(None, CPU), None)
    assert len(both) == 2
    assert both.batch_size == 2
    both.load_state_dict({"num_read": 7})
    assert both.state_dict() == {"num_read": 7}


def test_a_loader_without_a_position_promises_none():
    both = broadcast_loader([torch.rand(1)], PeerGroup(None, CPU), None)
    assert not hasattr(both, "state_dict")
