"""What a fit says of its epochs: how long the rest will take, and a line where no bar is drawn."""

import json
import math
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from radenhance import metric_names
from radenhance.callbacks.run_folder import RunFolder
from radenhance.compat.lightning import callbacks_of
from radenhance.console import say
from radenhance.units import in_minutes


class TimeLeft:
    """How long the epochs that are left will take: as long as those of this fit so far.

    The first one, in which files are decoded, counts only until there is another; epochs of the run
    before it was resumed do not count, nor does one that it resumed within.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._is_whole = False
        self._seconds: list[float] = []

    def fit_begins(self) -> None:
        """Start the clock; a fit that resumes within an epoch does not begin that one."""
        self._began, self._is_whole = time.monotonic(), False

    def epoch_begins(self) -> None:
        """Start the clock."""
        self._began, self._is_whole = time.monotonic(), True

    def epoch_ends(self) -> float:
        """Return the seconds of the epoch, or of the rest of it."""
        seconds = time.monotonic() - self._began
        if self._is_whole:
            self._seconds.append(seconds)
        return seconds

    def seconds(self, trainer: Trainer) -> float | None:
        """Return the seconds until the last epoch's end; None where that is not known.

        Args:
            trainer: Trainer at the end of an epoch.
        """
        counted = self._seconds[1:] or self._seconds
        if not counted:
            return None
        epoch, lefts = trainer.current_epoch + 1, []
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            lefts.append(float(trainer.max_epochs - epoch))
        if trainer.max_steps > 0:
            lefts.append((trainer.max_steps - trainer.global_step) * epoch / trainer.global_step)
        return max(0.0, min(lefts)) * sum(counted) / len(counted) if lefts else None


class MinutesLeft(Callback):
    """Shows in the progress bar how many minutes a fit has left."""

    def __init__(self) -> None:
        self._left = TimeLeft()

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._left.fit_begins()

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._left.epoch_begins()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._left.epoch_ends()
        seconds = self._left.seconds(trainer)
        if seconds is not None:
            pl_module.log("minutes_left", round(seconds / 60, 1), prog_bar=True, logger=False)


class EpochLines(Callback):
    """Prints a line after each epoch, on standard output.

    Args:
        as_json: Whether the line is an object of JSON with everything that was measured.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._left = TimeLeft()
        self._raw: dict[str, float] = {}

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._left.fit_begins()
        for callback in callbacks_of(trainer):
            if isinstance(callback, RunFolder):  # the run before it was resumed
                raw = callback.report.get("raw", {})
                self._raw = {f"{metric_names.IDENTITY}/{name}": one for name, one in raw.items()}

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._left.epoch_begins()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        of_raw = (metric_names.IDENTITY_LOSS, metric_names.IDENTITY_MS_SSIM)
        self._raw |= {name: measured[name] for name in of_raw if name in measured}
        measured |= self._raw
        seconds = self._left.epoch_ends()
        left = self._left.seconds(trainer)
        epoch = trainer.current_epoch + 1
        if self.as_json:
            finite = {name: value for name, value in measured.items() if math.isfinite(value)}
            times = {"seconds": round(seconds, 3), "seconds_left": left and round(left, 3)}
            say(json.dumps({"epoch": epoch, **times, **finite}))
        else:
            line = epoch_line(epoch, trainer.max_epochs, measured, seconds)
            say(f"{line}, about {in_minutes(left)} left" if left else line)


def epoch_line(epoch: int, max_epochs: int | None, measured: dict[str, Any], seconds: float) -> str:
    """Return what an epoch came to, beside the raw image, in a line.

    Args:
        epoch: Number of the epoch, from 1 on.
        max_epochs: Number of the last one; None or -1 where there is none.
        measured: Name of a measure -> value.
        seconds: Seconds that it took, with its validation.
    """
    of = f" of {max_epochs}" if max_epochs and max_epochs > 0 else ""
    words = [f"{seconds:.1f} s"]
    for title, name, raw, digits in (
        ("validation loss", metric_names.VAL_LOSS, metric_names.IDENTITY_LOSS, 3),
        ("MS-SSIM", metric_names.VAL_MS_SSIM, metric_names.IDENTITY_MS_SSIM, 4),
    ):
        if name in measured:
            words.append(beside_raw(title, measured[name], measured.get(raw), digits))
    return f"epoch {epoch}{of}: {', '.join(words)}"


def beside_raw(title: str, value: float, raw: float | None, digits: int) -> str:
    """Return a measure beside that of the raw image, where that is known, in words."""
    beside = "" if raw is None else f" (raw image {raw:.{digits}f})"
    return f"{title} {value:.{digits}f}{beside}"
