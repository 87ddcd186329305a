"""The checkpoint that a run resumes from.

It is written where nothing is half done: after a whole optimizer step, or where a validation is due
then, after that and all that follows from it, such as a plateau schedule and early stopping; and
after a whole epoch. Not in the middle of a step, where BatchNorm has seen a batch that the
optimizer has not, nor among the batches whose gradients it accumulates, which no checkpoint holds;
and not before a validation that is due, which Lightning would skip on resuming. Ctrl-C, SIGTERM and
SIGHUP (the terminal is gone) are held back until such a point. Loggers have the step's figures
before: a run that goes on does not log that step again.

A run whose checkpoint cannot be written ends. It could go on and try again later, but where nobody
looks it would train for days that the next power cut takes; where somebody does, the sentence says
what to free and how to go on from the checkpoint before, which stays whole. Curves are another
matter: a run without them has lost nothing (`log_points.without_curves`).
"""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, GradientAccumulationScheduler
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from typing_extensions import override

from radenhance.callbacks.run_folder import folder_of
from radenhance.compat.lightning import (
    add_epoch_sums,
    begin_next_epoch,
    callbacks_of,
    epoch_sums,
    is_accumulating,
    log_what_ended,
    validation_is_due,
    writes_within_epochs,
)
from radenhance.console import leave_terminal
from radenhance.log_points import flush
from radenhance.resuming import EPOCH_SUMS, sums_of
from radenhance.runs import CHECKPOINTS

FILE_NAME = "last.ckpt"
HOW_TO_RESUME = 'run the same again with Trainer.fit(ckpt_path="last")'


class HangUpException(SIGTERMException):
    """SIGHUP stopped a run, after last.ckpt was written."""


STOPS: dict[signal.Signals, tuple[str, type[BaseException]]] = {
    signal.SIGTERM: ("SIGTERM", SIGTERMException),
    signal.SIGHUP: ("SIGHUP", HangUpException),
    signal.SIGINT: ("Ctrl-C", KeyboardInterrupt),
}
"""What stops a run after its step -> what it is called, and the exception that ends the run."""


class LastCheckpoint(Checkpoint):
    """Keeps checkpoints/last.ckpt of the run up to date, whole files only.

    It is written at the end of every epoch, on Ctrl-C, SIGTERM and SIGHUP (after the running
    optimizer step and the validation that is due then; a second Ctrl-C stops at once without it),
    and in between as the arguments say. A run that was started with SIGHUP ignored, as by nohup,
    goes on.

    Args:
        every_minutes: Minutes since it was written after which the next step writes it, besides the
            end of every epoch; 0 for never.
        every_n_steps: Optimizer steps after which it is written, besides the end of every epoch; 0
            for never.
    """

    def __init__(self, every_minutes: float = 10.0, every_n_steps: int = 0) -> None:
        self.every_minutes = every_minutes
        self.every_n_steps = every_n_steps
        self._asked: signal.Signals | None = None
        self._written_at = time.monotonic()
        self._written_step = -1
        self._ends_after_step = False
        self._sums: dict[str, list[float]] = {}

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[EPOCH_SUMS] = epoch_sums(trainer)

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # of rank 0, as all that is logged of one rank
        self._sums = sums_of(checkpoint) if trainer.is_global_zero else {}

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._asked, self._written_at = None, time.monotonic()
        self._ends_after_step = False
        _say_of_files_that_may_not_resume(trainer)
        begin_next_epoch(trainer)
        _accumulate_as_in_this_epoch(trainer)
        if threading.current_thread() is not threading.main_thread():
            return
        # from here on, as Lightning noted the handlers just before, and restores them in the end;
        # its own one of SIGTERM ends a run also where a step was not saved
        for stop in STOPS:
            if stop is not signal.SIGHUP or signal.getsignal(stop) != signal.SIG_IGN:
                signal.signal(stop, self._hold_back)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        add_epoch_sums(trainer, self._sums)
        self._sums = {}
        self._end_run_after_step(trainer)
        if not (trainer.is_last_batch or is_accumulating(trainer) or validation_is_due(trainer)):
            self._end_step(trainer)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        within_epoch = trainer.state.fn == "fit" and not trainer.sanity_checking
        if within_epoch:
            self._end_run_after_step(trainer)
        if within_epoch and not (trainer.is_last_batch or is_accumulating(trainer)):
            self._end_step(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)
        self._stop_if_asked(trainer)

    def _end_run_after_step(self, trainer: Trainer) -> None:
        """Let a run that time or early stopping ends among the batches of a step end it first."""
        if is_accumulating(trainer):
            self._ends_after_step = self._ends_after_step or trainer.should_stop
            trainer.should_stop = False
        elif self._ends_after_step:
            trainer.should_stop = True

    def _hold_back(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGHUP:
            leave_terminal()
        elif signum == signal.SIGINT and self._asked is not None:
            raise KeyboardInterrupt
        elif signum == signal.SIGINT:
            rank_zero_info("\nStopping after this step; press Ctrl-C again to stop at once.")
        self._asked = signal.Signals(signum)

    def _end_step(self, trainer: Trainer) -> None:
        if self._is_due(trainer):
            self._write(trainer)
        self._stop_if_asked(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.global_step == self._written_step:
            return False
        by_steps = self.every_n_steps > 0 and trainer.global_step % self.every_n_steps == 0
        minutes = (time.monotonic() - self._written_at) / 60
        return by_steps or _on_any_rank(trainer, 0 < self.every_minutes <= minutes)

    def _stop_if_asked(self, trainer: Trainer) -> None:
        asked = self._asked
        if not _on_any_rank(trainer, asked is not None):
            return
        name, ends = next(STOPS[stop] for stop in STOPS if _on_any_rank(trainer, asked is stop))
        if trainer.global_step != self._written_step:
            self._write(trainer)
        saved = f"{_path(trainer)} is saved; to go on, {HOW_TO_RESUME}"
        rank_zero_info(f"\nStopped by {name}. {saved}.")
        raise ends

    def _write(self, trainer: Trainer) -> None:
        if not getattr(trainer, "fast_dev_run", False):
            log_what_ended(trainer)
            flush(trainer)
            trainer.save_checkpoint(_path(trainer))
        self._written_at = time.monotonic()
        self._written_step = trainer.global_step


def _path(trainer: Trainer) -> Path:
    return folder_of(trainer) / CHECKPOINTS / FILE_NAME


def _say_of_files_that_may_not_resume(trainer: Trainer) -> None:
    if any(writes_within_epochs(callback) for callback in trainer.checkpoint_callbacks):
        rank_zero_info(
            "A ModelCheckpoint with every_n_train_steps or train_time_interval writes among the "
            f"batches of a step and before a validation that is due; go on from {FILE_NAME} to get "
            "the very weights of a run that was not stopped."
        )


def _accumulate_as_in_this_epoch(trainer: Trainer) -> None:
    """Accumulate as a schedule says where a run resumes within an epoch, whose start it skips."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, GradientAccumulationScheduler):
            trainer.accumulate_grad_batches = callback.get_accumulate_grad_batches(
                trainer.current_epoch
            )


def _on_any_rank(trainer: Trainer, decision: bool) -> bool:
    return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))
