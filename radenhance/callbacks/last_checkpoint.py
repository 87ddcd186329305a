"""The checkpoint that a run resumes from.

It is written where nothing is half done: after a whole optimizer step, or after a whole epoch with
its validation. Not in the middle of a step, where BatchNorm has seen a batch that the optimizer
has not; and not between the last step of an epoch and its validation, which Lightning would skip
on resuming. Ctrl-C and SIGTERM are held back until such a point.
"""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from typing_extensions import override

FILE_NAME = "last.ckpt"
HOW_TO_RESUME = 'run the same again with Trainer.fit(ckpt_path="last")'


class LastCheckpoint(Checkpoint):
    """Keeps checkpoints/last.ckpt of the run up to date, whole files only.

    It is written at the end of every epoch, on Ctrl-C and SIGTERM (after the running step or
    validation; a second Ctrl-C stops at once without it), and in between as the arguments say.

    Args:
        every_minutes: Minutes since it was written after which the next step writes it, besides the
            end of every epoch; 0 for never.
        every_n_steps: Optimizer steps after which it is written, besides the end of every epoch; 0
            for never.
    """

    def __init__(self, every_minutes: float = 10.0, every_n_steps: int = 0) -> None:
        self.every_minutes = every_minutes
        self.every_n_steps = every_n_steps
        self._interrupted = False
        self._written_at = time.monotonic()
        self._written_step = -1
        self._former_handler: Any = None

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._written_at = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._former_handler = signal.signal(signal.SIGINT, self._hold_back)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        if self._is_due(trainer):
            self._write(trainer)
        self._stop_if_asked(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)
        self._stop_if_asked(trainer)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._former_handler is not None:
            signal.signal(signal.SIGINT, self._former_handler)
            self._former_handler = None

    def _hold_back(self, signum: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        rank_zero_info("\nStopping after this step; press Ctrl-C again to stop at once.")

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.global_step == self._written_step:
            return False
        by_steps = self.every_n_steps > 0 and trainer.global_step % self.every_n_steps == 0
        minutes = (time.monotonic() - self._written_at) / 60
        return by_steps or _on_any_rank(trainer, 0 < self.every_minutes <= minutes)

    def _stop_if_asked(self, trainer: Trainer) -> None:
        terminated = _on_any_rank(trainer, trainer.received_sigterm)
        if not terminated and not _on_any_rank(trainer, self._interrupted):
            return
        if trainer.global_step != self._written_step:
            self._write(trainer)
        why = "SIGTERM" if terminated else "Ctrl-C"
        rank_zero_info(f"\nStopped by {why}. {_path(trainer)} is saved; to go on, {HOW_TO_RESUME}.")
        raise SIGTERMException if terminated else KeyboardInterrupt

    def _write(self, trainer: Trainer) -> None:
        if not getattr(trainer, "fast_dev_run", False):
            trainer.save_checkpoint(_path(trainer))
        self._written_at = time.monotonic()
        self._written_step = trainer.global_step


def _path(trainer: Trainer) -> Path:
    return Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints" / FILE_NAME


def _on_any_rank(trainer: Trainer, decision: bool) -> bool:
    return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))
