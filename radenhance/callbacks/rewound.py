"""Loggers of a run that does steps again, which each show one value of a step.

A run that was killed had logged more than its last checkpoint knows of. TensorBoard is told where
the run goes on, and leaves out what it read of later steps. Other loggers cannot take back what
they were given: what they have is not given to them again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog


def rewind(loggers: Iterable[Logger], rows: Sequence[Mapping[str, str]]) -> None:
    """Make up for rows that were logged after the checkpoint that a run goes on from.

    Args:
        loggers: The run's.
        rows: Names and values, empty where a row has none; its step by the name step.
    """
    steps = [row for row in rows if (row.get("step") or "").isdecimal()]  # anyone may edit a table
    logged = {(row["step"], name) for row in steps for name, value in row.items() if value}
    if not logged:
        return
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            _purge(logger, min(int(step) for step, _ in logged))
        else:
            _leave_out(logger, logged)


def _purge(logger: TensorBoardLogger, step: int) -> None:
    """Tell TensorBoard that a run begins anew at a step, as `SummaryWriter(purge_step)` does."""
    event = Event(step=step, session_log=SessionLog(status=SessionLog.START))
    logger.experiment.file_writer.add_event(event)


def _leave_out(logger: Logger, logged: set[tuple[str, str]]) -> None:
    original = logger.log_metrics

    def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
        new = {name: one for name, one in metrics.items() if (str(step), name) not in logged}
        if new.keys() - {"epoch"}:
            original(new, step)

    replaced: Any = log_metrics
    setattr(logger, "log_metrics", replaced)  # noqa: B010 - a method
