import pytest
import torch
import torch.distributed as dist

from radenhance.compat.fake_process_group import fake_processes


def test_one_process_is_any_of_several_that_are_not_there():
    with fake_processes(rank=2, world_size=4):
        assert (dist.get_rank(), dist.get_world_size()) == (2, 4)
        group = dist.new_group([0, 2])
        assert dist.get_rank(group) == 1
        value = torch.tensor(3.0)
        dist.broadcast(value, 0)
        dist.send(value, 0)
        dist.recv(value, 0)
        assert value == 3
    assert not dist.is_initialized()


def test_it_ends_with_an_error_too():
    with pytest.raises(KeyError), fake_processes(rank=0, world_size=2):
        raise KeyError
    assert not dist.is_initialized()


def test_a_process_that_has_others_is_left_to_them():
    with (
        fake_processes(rank=0, world_size=2),
        pytest.raises(RuntimeError, match="one of several already"),
        fake_processes(rank=1, world_size=2),
    ):
        pass
