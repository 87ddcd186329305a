"""The time that steps and epochs take."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from radenhance import metric_names
from radenhance.log_points import is_log_point, log_metrics


class Stopwatch(Callback):
    """Logs the seconds of a step and of an epoch, by the clock on the wall.

    A step is an update of the weights with its loading, as the mean since the figure before it. An
    epoch has its validation in it; one that a run resumes in the middle of is not logged.
    """

    def __init__(self) -> None:
        self._epoch_began: float | None = None
        self._steps_began = self._validation_began = 0.0
        self._first_step = 0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_began = None
        self._restart(trainer)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart(trainer)
        self._epoch_began = self._steps_began

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if is_log_point(trainer):
            self._log_steps(trainer)

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_began = time.perf_counter()

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps_began += time.perf_counter() - self._validation_began

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_steps(trainer)
        if self._epoch_began is not None:
            log_metrics(trainer, {metric_names.EPOCH_S: time.perf_counter() - self._epoch_began})

    def _restart(self, trainer: Trainer) -> None:
        self._steps_began, self._first_step = time.perf_counter(), trainer.global_step

    def _log_steps(self, trainer: Trainer) -> None:
        num_steps = trainer.global_step - self._first_step
        if num_steps > 0:
            seconds = time.perf_counter() - self._steps_began
            log_metrics(trainer, {metric_names.STEP_S: seconds / num_steps})
            self._restart(trainer)
