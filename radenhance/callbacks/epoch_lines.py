"""What a fit says where no progress bar is drawn: a line for each epoch."""

import json
import math
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from radenhance import metric_names
from radenhance.console import say


class EpochLines(Callback):
    """Prints a line after each epoch, on standard output.

    Args:
        as_json: Whether the line is an object of JSON with everything that was measured.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._began = 0.0
        self._raw: dict[str, float] = {}

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.monotonic()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        of_raw = (metric_names.IDENTITY_LOSS, metric_names.IDENTITY_MS_SSIM)
        self._raw |= {name: measured[name] for name in of_raw if name in measured}
        measured |= self._raw
        seconds = time.monotonic() - self._began
        epoch = trainer.current_epoch + 1
        if self.as_json:
            finite = {name: value for name, value in measured.items() if math.isfinite(value)}
            say(json.dumps({"epoch": epoch, "seconds": round(seconds, 3), **finite}))
        else:
            say(epoch_line(epoch, trainer.max_epochs, measured, seconds))


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
