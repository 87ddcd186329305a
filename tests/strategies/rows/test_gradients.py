"""Gradients are summed in one order, whichever is whole first."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from radenhance.strategies.rows import gradients
from radenhance.strategies.rows.gradients import messages_of, summed_gradients


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.setattr(gradients, "LARGE", 50)
    monkeypatch.setattr(gradients, "TOGETHER", 12)
    sizes = (3, 100, 8, 6, 200, 5)
    layers = [nn.Parameter(torch.ones(size)) for size in sizes]
    layers[3].requires_grad_(False)
    return layers


@pytest.fixture
def sent(monkeypatch):
    """Sizes of what is summed, with a second process that has the same gradients."""
    sent = []

    class Work:
        def __init__(self, tensor):
            self.tensor = tensor

        def wait(self):
            self.tensor *= 2

    def all_reduce(tensor, async_op):
        assert async_op
        sent.append(tensor.numel())
        return Work(tensor)

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return sent


def test_large_gradients_go_alone_and_small_ones_together_from_the_last_layer_on(layers):
    sizes = [[one.numel() for one in message] for message in messages_of(layers)]
    assert sizes == [[200], [5], [100], [8, 3]]


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_gradients_are_sums_of_all_and_means_of_replicas(layers, sent, num_replicas):
    with summed_gradients(layers, num_replicas):
        sum((i + 1) * layer.sum() for i, layer in enumerate(layers)).backward()
    for i, layer in enumerate(layers):
        if layer.requires_grad:
            assert torch.equal(layer.grad, torch.full_like(layer, 2 * (i + 1) / num_replicas))


def test_what_is_whole_first_waits_for_its_turn_and_what_was_not_used_is_left_out(layers, sent):
    unused = layers[1]
    with summed_gradients(layers):
        layers[2].sum().backward()
        assert sent == []  # it is not the first one's turn
        layers[4].sum().backward()
        assert sent == [200]
        (layers[0].sum() + layers[5].sum()).backward()
        assert sent == [200, 5]
    assert sent == [200, 5, 11]
    assert unused.grad is None
