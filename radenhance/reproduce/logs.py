"""The figures of a finished run, read from its own event files."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance import metric_names
from radenhance.errors import UsageError
from radenhance.runs import LOGS

STAGES = (None, "encoder", "decoder")


@dataclass(frozen=True)
class Figures:
    """What a run logged.

    Args:
        train_loss: Mean of the last epoch.
        val_loss: After the last epoch.
        epoch_s: Median seconds of an epoch, validation included.
        forward_mib: Rise in the forward phase by PyTorch's allocator, of the mean GPU where there
            are two; None without a GPU.
        backward_mib: In the backward phase, likewise.
    """

    train_loss: float
    val_loss: float
    epoch_s: float
    forward_mib: float | None
    backward_mib: float | None


def read_figures(folder: Path) -> Figures:
    """Return the figures of the run in a folder.

    Raises:
        UsageError: Its logs are not there.
    """
    series = _series(folder)
    for name in (metric_names.TRAIN_LOSS, metric_names.VAL_LOSS, metric_names.EPOCH_S):
        if not series.get(name):
            raise UsageError(
                f"{folder} has no {name} in its logs; remove that folder to run it again"
            )
    return Figures(
        train_loss=_last(series[metric_names.TRAIN_LOSS]),
        val_loss=_last(series[metric_names.VAL_LOSS]),
        epoch_s=statistics.median(series[metric_names.EPOCH_S].values()),
        forward_mib=_memory(series, metric_names.FORWARD),
        backward_mib=_memory(series, metric_names.BACKWARD),
    )


def _series(folder: Path) -> dict[str, dict[int, float]]:
    """Return name -> step -> value; what was logged again after resuming counts."""
    series: dict[str, dict[int, float]] = {}
    files = folder.glob(f"{LOGS}/version_*/events.out.tfevents.*")
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            values = series.setdefault(name, {})
            values.update({event.step: event.value for event in events.Scalars(name)})
    return series


def _last(values: dict[int, float]) -> float:
    return values[max(values)]


def _memory(series: dict[str, dict[int, float]], phase: str) -> float | None:
    names = [metric_names.memory(phase, metric_names.ALLOCATED, stage) for stage in STAGES]
    highest = [max(series[name].values()) for name in names if name in series]
    return statistics.mean(highest) if highest else None
