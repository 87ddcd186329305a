"""The figures of a finished run, read from its own event files.

TensorBoard's files are what `radenhance fit` leaves anyway. A resumed run has several of them, in
which the steps after its last checkpoint occur twice: the later value counts.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance import metric_names
from radenhance.errors import UsageError
from radenhance.runs import LOGS

MEASURES = (metric_names.MS_SSIM, metric_names.PSNR, metric_names.MAE)
STAGES = (None, "encoder", "decoder")

Series = dict[int, float]
"""Step -> value."""


@dataclass(frozen=True)
class Figures:
    """What a run logged.

    Args:
        train_loss: Mean training loss of the last epoch.
        val_loss: Validation loss after the last epoch.
        epoch_s: Median seconds of an epoch, validation included.
        forward_mib: Rise in the forward phase by PyTorch's allocator in MiB, the mean of both GPUs
            where there are two; None without a GPU.
        backward_mib: Rise in the backward phase, likewise.
        measures: MS-SSIM, PSNR and mean absolute error of validation after the last epoch, by their
            names.
    """

    train_loss: float
    val_loss: float
    epoch_s: float
    forward_mib: float | None
    backward_mib: float | None
    measures: Mapping[str, float] = field(default_factory=dict)


def read_figures(folder: Path) -> Figures:
    """Return the figures of the run in a folder.

    Raises:
        UsageError: Its logs are not there.
    """
    logged = scalars(folder)
    for name in (metric_names.TRAIN_LOSS, metric_names.VAL_LOSS, metric_names.EPOCH_S):
        if not logged.get(name):
            raise UsageError(
                f"{folder} has no {name} in its logs; remove that folder to run it again"
            )
    return Figures(
        train_loss=last(logged[metric_names.TRAIN_LOSS]),
        val_loss=last(logged[metric_names.VAL_LOSS]),
        epoch_s=statistics.median(logged[metric_names.EPOCH_S].values()),
        forward_mib=_memory(logged, metric_names.FORWARD),
        backward_mib=_memory(logged, metric_names.BACKWARD),
        measures={
            name: last(logged[f"{metric_names.VAL}/{name}"])
            for name in MEASURES
            if f"{metric_names.VAL}/{name}" in logged
        },
    )


def scalars(folder: Path) -> dict[str, Series]:
    """Return everything that the run in a folder logged, by name; of two values the later one."""
    logged: dict[str, Series] = {}
    files = folder.glob(f"{LOGS}/*/events.out.tfevents.*")
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            values = logged.setdefault(name, {})
            values.update({event.step: event.value for event in events.Scalars(name)})
    return logged


def last(series: Series) -> float:
    """Return the value of the last step."""
    return series[max(series)]


def _memory(logged: dict[str, Series], phase: str) -> float | None:
    names = [metric_names.memory(phase, metric_names.ALLOCATED, stage) for stage in STAGES]
    highest = [max(logged[name].values()) for name in names if name in logged]
    return statistics.mean(highest) if highest else None
