"""Values cross between processes, and what does not look like one ends the run before it costs."""

import pytest
import torch
import torch.distributed as dist
from pairs import CPU, in_a_pair, values
from saved_files import allocating_few_bytes

from radenhance.errors import RadenhanceError
from radenhance.strategies.messages import MAX_MESSAGE_BYTES, encode
from radenhance.strategies.peers import PeerGroup


def test_values_arrive_from_either_side_and_from_all(tmp_path):
    for of_decoder, of_encoder, of_all in in_a_pair(values, tmp_path):
        for rank, value in enumerate((of_decoder, of_encoder)):
            assert value["rank"] == rank
            tensor, (nothing, flag) = value["nested"]
            assert tensor.tolist() == [rank, rank + 1, rank + 2]
            assert nothing is None
            assert flag.item() is True
        assert of_all == [("rank", 0), ("rank", 1)]


@pytest.fixture
def arriving(monkeypatch):
    """Let what arrives from another process be these tensors."""

    def receive(*sent):
        left = [torch.as_tensor(item) for item in sent]

        def broadcast(tensor, **_):
            tensor.copy_(left.pop(0))

        monkeypatch.setattr(dist, "broadcast", broadcast)
        monkeypatch.setattr(dist, "get_rank", lambda group: 1)
        return PeerGroup(None, CPU).broadcast(None, source=0)

    return receive


def test_a_message_arrives_with_its_tensors(arriving):
    content = encode([torch.zeros(2)], [])
    (tensor,) = arriving([len(content)], list(content), [1.0, 2.0])
    assert tensor.tolist() == [1, 2]


@pytest.mark.parametrize("length", [-1, 0, MAX_MESSAGE_BYTES + 1, 2**62])
def test_a_message_of_a_wrong_length_is_refused_before_it_is_allocated(arriving, length):
    expected = f"a message of {length} bytes"
    with allocating_few_bytes(), pytest.raises(RadenhanceError, match=expected):
        arriving([length])


def test_a_process_that_gathers_something_else_is_found_out(monkeypatch):
    told = iter(([1], {"a": 1}))
    monkeypatch.setattr(dist, "get_world_size", lambda group: 2)
    monkeypatch.setattr(PeerGroup, "broadcast", lambda self, value, *, source: next(told))
    with pytest.raises(RadenhanceError, match="does not send: dict instead of list"):
        PeerGroup(None, CPU).gather([1])
