"""What Lightning asks of the processes, answered without starting any."""

import pytest
import torch
import torch.distributed as dist

from radenhance.errors import UsageError
from radenhance.strategies import EncoderDecoderStrategy


class Cluster:
    """Two nodes of one device, of which this is one."""

    creates_processes_externally = True

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def global_rank(self):
        return self.rank

    def local_rank(self):
        return 0

    def node_rank(self):
        return self.rank

    def world_size(self):
        return self.size

    def set_global_rank(self, rank):
        self.rank = rank

    def set_world_size(self, size):
        self.size = size


def strategy_of(rank, size):
    strategy = EncoderDecoderStrategy(timeout_s=0.1)
    strategy.cluster_environment = Cluster(rank, size)
    strategy.parallel_devices = [torch.device("cpu")]
    strategy.num_nodes = size
    return strategy


def test_samples_are_divided_between_pipelines_not_between_processes():
    strategy = strategy_of(rank=3, size=4)
    assert strategy.is_distributed
    assert strategy.distributed_sampler_kwargs == {"num_replicas": 2, "rank": 1}
    assert not strategy_of(rank=1, size=2).is_distributed


def test_values_of_one_pipeline_are_not_reduced_twice():
    value = torch.tensor(3.0)
    assert strategy_of(rank=0, size=2).reduce(value) is value


@pytest.mark.parametrize(
    ("reduce_op", "expected"), [("mean", 3), ("avg", 3), ("sum", 6), (dist.ReduceOp.SUM, 6)]
)
def test_values_of_two_pipelines_are_reduced_over_their_replicas(monkeypatch, reduce_op, expected):
    strategy = strategy_of(rank=0, size=4)
    strategy._groups = type("Groups", (), {"replicas": "replicas"})
    seen = []

    def all_reduce(tensor, op, group):
        seen.append((op, group))
        tensor *= 2  # the other pipeline has the same value

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    value = torch.tensor(3.0)
    assert strategy.reduce(value, reduce_op=reduce_op) == expected
    assert value == 3  # the caller's own stays
    assert seen == [(dist.ReduceOp.SUM, "replicas")]
    assert strategy.reduce("text") == "text"


@pytest.mark.parametrize("all_must", [True, False])
def test_all_processes_vote_on_a_decision(one_process, all_must):
    strategy = strategy_of(rank=0, size=1)
    assert strategy.reduce_boolean_decision(True, all=all_must) is True
    assert strategy.reduce_boolean_decision(False, all=all_must) is False


def test_before_processes_are_connected_everything_is_local():
    strategy = strategy_of(rank=0, size=2)
    strategy.barrier()
    assert strategy.broadcast("folder") == "folder"


@pytest.mark.parametrize("size", [1, 3])
def test_an_odd_number_of_processes_is_told_how_to_start_two(size, monkeypatch):
    strategy = strategy_of(rank=0, size=size)
    monkeypatch.setattr(strategy, "_meet", lambda: None)
    strategy.accelerator = type("Accelerator", (), {"setup_device": lambda self, device: None})()
    expected = rf"has {size} processes, expected two .* use Trainer\(devices=2\)"
    with pytest.raises(UsageError, match=expected):
        strategy.setup_environment()


@pytest.mark.parametrize(
    "wait",
    [
        lambda strategy: strategy.barrier(),
        lambda strategy: strategy.broadcast(1),
        lambda strategy: strategy.reduce_boolean_decision(True),
    ],
)
def test_what_waits_for_the_other_process_is_refused_in_a_step(one_process, wait):
    strategy = strategy_of(rank=0, size=1)
    wait(strategy)
    expected = "a step calls .* which waits for the other process"
    with pytest.raises(UsageError, match=expected), strategy._in_step():
        wait(strategy)
    wait(strategy)
