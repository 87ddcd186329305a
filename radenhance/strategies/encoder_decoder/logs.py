"""What a step logs, logged by both processes with the decoder's values.

Schedulers, checkpoints, early stopping and progress bars of both processes then see what they would
see on one device, whatever the arithmetic of the other device. Values of a batch's micro-batches
are reduced as `self.log` reduces steps. A metric is updated by both processes, which both run the
step to its end.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics import Metric

from radenhance.errors import UsageError
from radenhance.strategies.tensor_meta import not_understood

Entry = tuple[str, Any, dict[str, Any]]
"""Name, value and options of one call of `self.log`."""

METRIC = "metric"
"""Key of the attribute's name, in place of a value that is a metric."""

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "min": torch.amin,
    "max": torch.amax,
}

NAMES: dict[Any, str] = {
    "avg": "mean",
    torch.min: "min",
    torch.max: "max",
    **{reduction: name for name, reduction in REDUCTIONS.items()},
    **{name: name for name in REDUCTIONS},
}
"""What `self.log` takes for reduce_fx -> its name, which can be sent; a function cannot."""


@contextmanager
def capture_logs(module: LightningModule) -> Iterator[list[Entry]]:
    """Collect what is logged, instead of logging it."""
    entries: list[Entry] = []

    def log(name: str, value: Any, prog_bar: bool = False, **options: Any) -> None:
        detached = value.detach() if isinstance(value, Tensor) else value
        entries.append((name, detached, {"prog_bar": prog_bar, **options}))

    # No hook sees what a step logs, and log_dict calls `log` too: the function hides the class's
    # method on this one object while the step runs.
    vars(module)["log"] = log
    try:
        yield entries
    finally:
        del vars(module)["log"]


def combined(entries: Sequence[Entry], module: LightningModule) -> list[Entry]:
    """Return one entry for each name; its value is a number or names a metric.

    Args:
        entries: What the steps of all micro-batches logged.
        module: Owner of the metrics among the values.

    Raises:
        UsageError: A value's reduce_fx is not mean, sum, min or max; or a metric is not the
            module's.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry[0], []).append(entry)
    return [_combined(same, module) for same in by_name.values()]


def log_all(entries: Sequence[Entry], module: LightningModule) -> None:
    """Log entries that `combined` returned here or in another process."""
    for name, value, options in entries:
        logged = _metric(value, module) if isinstance(value, dict) else value
        module.log(name, logged, **options)


def _combined(entries: Sequence[Entry], module: LightningModule) -> Entry:
    name, last, options = entries[-1]
    wanted = options.get("reduce_fx", "mean")
    reduce_fx = NAMES.get(wanted)
    if isinstance(last, Metric):  # which reduces itself, whatever is wanted
        return name, {METRIC: _attribute(name, last, module)}, {**options, "reduce_fx": "mean"}
    if reduce_fx is None:
        raise UsageError(
            f"{name} is logged with reduce_fx={wanted!r}, expected mean, sum, min or max under "
            f"the strategy encoder_decoder"
        )
    options = {**options, "reduce_fx": reduce_fx}
    values = torch.stack([torch.as_tensor(value, dtype=torch.float32) for _, value, _ in entries])
    if options.get("batch_size") is not None:
        options["batch_size"] = sum(others["batch_size"] for *_, others in entries)
    return name, REDUCTIONS[reduce_fx](values).item(), options


def _attribute(name: str, metric: Metric, module: LightningModule) -> str:
    for attribute, part in module.named_modules():
        if part is metric:
            return str(attribute)
    raise UsageError(
        f"{name} is logged as a {type(metric).__name__} that is no attribute of "
        f"{type(module).__name__}; make it in __init__, as self.NAME"
    )


def _metric(value: dict[str, Any], module: LightningModule) -> Metric:
    found = dict(module.named_modules()).get(value.get(METRIC, ""))
    if not isinstance(found, Metric):
        raise not_understood("the name of no metric")
    return found
