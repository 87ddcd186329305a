"""What a step leaves in a module is gone after the block, whatever it was kept in."""

from collections import deque

import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric

from radenhance.strategies.encoder_decoder.module_state import undone


class Keeping(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = nn.BatchNorm1d(1)
        self.norm, self.metric = nn.BatchNorm1d(1), MeanMetric()
        self.number, self.nested, self.last = 0, {"losses": [1.0]}, deque([1], maxlen=3)
        self.names, self.mean = {"a"}, torch.zeros(2)


def leave(module):
    """Leave something everywhere."""
    module.number += 1
    module.new = 1
    module.nested["losses"].append(2.0)
    module.nested["more"] = []
    module.last.append(2)
    module.names.add("b")
    module.mean += 1
    module.metric.update(3.0)
    module.norm(torch.arange(4.0).view(4, 1))
    return module


def state_of(module):
    values = {name: value for name, value in vars(module).items() if name[0] != "_"}
    buffers = {name: b.clone() for name, b in module.norm.named_buffers()}
    return str((values, buffers, module.metric.metric_state, module.metric.update_count))


def test_everything_is_as_before_and_in_the_same_containers():
    module = Keeping()
    before, losses = state_of(module), module.nested["losses"]
    with undone(module, module.network):
        leave(module)
        assert state_of(module) != before
    assert state_of(module) == before
    assert module.nested["losses"] is losses
    assert state_of(leave(module)) == state_of(leave(Keeping()))


def test_it_is_undone_where_the_step_fails_and_the_network_is_left_alone():
    module = Keeping()
    before = state_of(module)
    with pytest.raises(TypeError), undone(module, module.network):
        leave(module).network(torch.rand(4, 1)) + None
    assert state_of(module) == before
    assert module.network.num_batches_tracked == 1
