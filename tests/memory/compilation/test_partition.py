import pytest
import torch
from torch import nn

from radenhance.compat.compiler import traced, without_modes
from radenhance.compat.torch import FakeTensorMode
from radenhance.memory.compilation import partition
from radenhance.memory.compilation.partition import BUDGETS, least_memory, least_time
from radenhance.memory.footprint import Footprint


class Layers(nn.Sequential):
    """Convolutions whose BatchNorm and ReLU are cheap to recompute."""

    def __init__(self):
        layers = [nn.Conv2d(1, 8, 3, padding=1)]
        for _ in range(3):
            layers += [nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, bias=False)]
        super().__init__(*layers, nn.Conv2d(8, 1, 1))


def measured(cut):
    """Bytes that a step makes on fake tensors, and those that were counted for each cut."""
    counted = []
    with FakeTensorMode(allow_non_fake_inputs=True):
        layers, image = Layers(), torch.empty(1, 1, 128, 128)
        tensors = dict(layers.named_parameters()) | dict(layers.named_buffers())
        with pytest.MonkeyPatch.context() as patched:
            peak_bytes = partition.peak_bytes
            patched.setattr(
                partition,
                "peak_bytes",
                lambda *graphs: counted.append(peak_bytes(*graphs)) or counted[-1],
            )
            function = traced(lambda t, x: torch.func.functional_call(layers, t, (x,)), cut)
            with without_modes():
                function(tensors, image)
        with Footprint() as footprint:
            function(tensors, image).backward(torch.empty(1, 1, 128, 128))
    return footprint.peak_bytes, counted


def test_the_cut_is_the_best_of_those_tried_and_its_bytes_are_those_of_a_step():
    peak, counted = measured(least_memory)
    assert len(counted) == len(BUDGETS) + 2
    assert min(counted) == pytest.approx(peak, rel=0.05)  # beside output and gradient
    plain, _ = measured(least_time)
    assert peak < 0.8 * plain


def test_budgets_are_tried_on_either_side_of_the_best(monkeypatch):
    tried = []

    def partitioned(budget, joint, inputs, **settings):
        tried.append(budget)
        return budget, None

    monkeypatch.setattr(partition, "partitioned", partitioned)
    monkeypatch.setattr(partition, "peak_bytes", lambda budget, *_: round(abs(budget - 0.36), 9))
    assert least_memory(None, [], num_fwd_outputs=1) == (0.35, None)
    assert tried == [*BUDGETS, 0.35, 0.45]
