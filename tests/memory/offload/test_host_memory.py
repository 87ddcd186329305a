import random

import pytest
import torch

from radenhance.errors import UsageError
from radenhance.memory.footprint import Footprint
from radenhance.memory.offload.host_memory import MIB, HostMemory


def test_pieces_are_apart_and_within_the_budget():
    chance = random.Random(0)
    host = HostMemory(1000, pinned=False)
    pieces = []
    refusals = 0
    for value in range(200):
        piece = host.take(chance.randint(1, 300))
        if piece is None:
            refusals += 1
        else:
            pieces.append((value, piece.fill_(value)))
        while pieces and chance.random() < 0.4:
            del piece
            piece = None
            pieces.pop(chance.randrange(len(pieces)))
        assert all((content == value).all() for value, content in pieces)
        assert host.taken_bytes == sum(content.nbytes for _, content in pieces) <= 1000
    assert 0 < refusals < 100


def test_what_is_given_back_is_taken_again():
    host = HostMemory(100, pinned=False)
    first, second = host.take(60), host.take(40)
    address = first.data_ptr()
    assert host.take(1) is None
    del first
    assert host.take(61) is None
    assert host.take(60).data_ptr() == address
    assert second.nbytes == 40
    assert host.peak_bytes == 100


def test_it_is_made_once_and_is_memory_of_the_host():
    with Footprint() as footprint:
        host = HostMemory(MIB, pinned=False)
        for _ in range(3):
            host.take(MIB)
    assert footprint.host_peak_bytes == MIB
    assert footprint.peak_bytes == 0


def test_more_than_the_machine_has_is_refused():
    with pytest.raises(UsageError, match=r"asks for 1073741824 MiB .* this machine has \d+; ask"):
        HostMemory(2**50, pinned=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only a GPU needs pinned memory")
def test_memory_for_a_gpu_is_pinned():
    assert HostMemory(MIB, pinned=True).take(10).is_pinned()
