"""A metric's state, taken from one process's metric and given to another's."""

from collections.abc import Mapping
from typing import Any

from torchmetrics import Metric


def metric_state(metric: Metric) -> dict[str, Any]:
    """Return what `compute` works on, and what `forward` returned last.

    `Metric.state_dict` has only what is persistent, by default nothing. The value of the last
    `forward`, which Lightning logs for a step, has no public name.
    """
    return {
        "state": dict(metric.metric_state),
        "count": metric.update_count,
        "forward": metric._forward_cache,
    }


def set_metric_state(metric: Metric, state: Mapping[str, Any]) -> None:
    """Give a metric what `metric_state` returned for another one of its kind.

    `update_count` can only be read: a metric with 0 warns when it is computed. A value computed
    before would be returned again, and `reset`, which forgets it, forgets the state as well.
    """
    for name, value in state["state"].items():
        setattr(metric, name, value)
    metric._update_count = state["count"]
    metric._forward_cache = state["forward"]
    metric._computed = None
