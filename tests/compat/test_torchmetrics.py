"""A metric gets another one's state, as Lightning reads it."""

import warnings

import pytest
import torch
from torchmetrics import MeanMetric

from radenhance.compat.torchmetrics import metric_state, set_metric_state


@pytest.fixture
def updated():
    metric = MeanMetric()
    metric.update(torch.tensor([1.0, 2.0]))
    metric(torch.tensor(6.0))
    return metric


def test_another_metric_computes_the_same_without_a_warning(updated):
    other = MeanMetric()
    set_metric_state(other, metric_state(updated))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert other.compute() == updated.compute() == 3
    assert other.update_count == 2


def test_what_forward_returned_comes_along(updated):
    other = MeanMetric()
    set_metric_state(other, metric_state(updated))
    assert metric_state(other)["forward"] == 6


def test_a_value_computed_before_is_not_returned_again(updated):
    other = MeanMetric()
    other.update(100.0)
    assert other.compute() == 100
    set_metric_state(other, metric_state(updated))
    assert other.compute() == 3
