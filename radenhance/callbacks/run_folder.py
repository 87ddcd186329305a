"""The folder of a run, in which everything lies that is the run's own, whatever logs it.

It is claimed when the data is known to be there and before anything is logged, by rank 0, which
tells the others. Loggers start afterwards: Lightning would start them earlier, and a run that ends
at a wrong folder of data would leave theirs behind. The report (run.json) is brought up to date
after every validation, so that it holds what a run came to that was killed. A run that goes on does
the steps after its checkpoint again, and takes back what was logged of them.
"""

import csv
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override

from radenhance import metric_names
from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.callbacks.rewound import rewind
from radenhance.compat.lightning import callbacks_of
from radenhance.datamodule import FINGERPRINT
from radenhance.errors import DiskError
from radenhance.files import new_part, replace_file
from radenhance.log_points import without_curves
from radenhance.runs import CHECKPOINTS, LOGS, REPORT, claim, read_report, write_report
from radenhance.units import in_mib

METRICS = "metrics.csv"
CONFIG = "config.yaml"

ROWS = "metrics_rows"
"""Key of a checkpoint: how many rows metrics.csv had when it was written."""

LoggersOf = Callable[[Path, Mapping[str, str]], tuple[list[Logger], dict[str, str]]]
"""A run's folder, and ids by which loggers know the run -> its loggers, and their ids of it."""

LOGGERS = "loggers"
"""Key of run.json: what loggers call the run."""

BEST_BY, MONITOR, MODE = "best_by", "monitor", "mode"
"""Key of run.json: the measure that an epoch is the best by, and whether its min or max counts."""


class RunFolder(Callback):
    """Claims the folder of a run, and keeps its report.

    Args:
        root: The folder that holds lightning_logs.
        label: What stands before the number in its name.
        name: Its name instead, or None.
        resumed: The folder of the run that goes on, or None.
        about: What the report says of the run beside what it came to, as plain values.
        config: The settings of the run as YAML.
        loggers_of: Function that makes the run's loggers.
    """

    def __init__(
        self,
        root: Path,
        label: str,
        name: str | None,
        resumed: Path | None,
        about: Mapping[str, Any],
        config: str,
        loggers_of: LoggersOf,
    ) -> None:
        self.folder = resumed
        """The run's folder; None until it is claimed."""
        self._claim = (root, label, name)
        self._about = dict(about)
        self._config = config
        self._loggers_of = loggers_of
        self._goes_on = resumed is not None
        self._table: MetricsFile | None = None
        self._report: dict[str, Any] = {}
        self._began = self._seconds_before = 0.0

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Claim the folder, and let checkpoints and loggers know it."""
        data = getattr(trainer, "datamodule").state_dict()  # noqa: B009
        about = {**self._about, "data": data[FINGERPRINT]}
        if trainer.is_global_zero and self.folder is None:
            _refuse_full_disk(self._claim[0], pl_module)
            self.folder = claim(*self._claim, about)
        self.folder = trainer.strategy.broadcast(self.folder)
        assert self.folder is not None
        if trainer.is_global_zero:
            self._begin(about)
        for callback in callbacks_of(trainer):
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.folder / CHECKPOINTS)
        loggers, ids = self._loggers_of(self.folder, self._report.get(LOGGERS, {}))
        if trainer.is_global_zero:
            self._table = MetricsFile(self.folder / METRICS)
        own = self._table or MetricsFile(self.folder / METRICS)
        trainer.loggers = [*(one for one in loggers if not _is_of_csv(one, self.folder)), own]
        if trainer.is_global_zero and ids:
            self._report[LOGGERS] = self._report.get(LOGGERS, {}) | ids
            write_report(self.folder, self._report)

    def _begin(self, about: Mapping[str, Any]) -> None:
        assert self.folder is not None
        has_report = (self.folder / REPORT).is_file()  # runs of earlier versions have none
        before = read_report(self.folder) if has_report else {}
        if before.get(BEST_BY) != about.get(BEST_BY):
            before.pop("best", None)
        self._report = before | dict(about)
        self._began, self._seconds_before = time.monotonic(), before.get("seconds", 0.0)
        if has_report:
            write_report(self.folder, self._report)
        replace_file(self.folder / CONFIG, self._config.encode())

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._table is not None:
            checkpoint[ROWS] = self._table.num_rows

    @override
    @without_curves()
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take back what was logged after the checkpoint, by steps that the run does again."""
        kept = checkpoint.get(ROWS)
        if self._goes_on and self._table is not None and isinstance(kept, int) and kept >= 0:
            others = [logger for logger in trainer.loggers if logger is not self._table]
            rewind(others, self._table.cut(kept))

    @override
    @without_curves()
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what the run has come to."""
        if trainer.sanity_checking or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        identity = _of(measured, metric_names.IDENTITY)
        last = {"epoch": trainer.current_epoch, **_of(measured, metric_names.VAL)}
        by = self._report[BEST_BY]
        score = measured.get(by[MONITOR], math.nan)
        before = self._report.get("best", {}).get("score")
        if before is None or (score < before if by[MODE] == "min" else score > before):
            self._report["best"] = last | {"score": score if math.isfinite(score) else None}
        self._report |= {"last": last, "raw": identity or self._report.get("raw", {})}
        self._write(trainer)

    @override
    @without_curves()
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._write(trainer)

    @property
    def report(self) -> dict[str, Any]:
        """What the run came to, on rank 0: the content of its run.json."""
        return dict(self._report)

    def _write(self, trainer: Trainer) -> None:
        assert self.folder is not None
        peaks: dict[str, float] = {}
        for callback in callbacks_of(trainer):
            if isinstance(callback, MemoryProfiler):
                peaks |= callback.run_peaks
        self._report |= {
            "steps": trainer.global_step,
            "seconds": self._seconds_before + time.monotonic() - self._began,
            "peak_mib": peaks,
        }
        write_report(self.folder, self._report)


def _refuse_full_disk(root: Path, module: LightningModule) -> None:
    """Refuse a disk without room for the weights of the last and the best checkpoint.

    Raises:
        DiskError: It has less.
    """
    there = next(one for one in (root.absolute(), *root.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    needed = 2 * sum(tensor.nbytes for tensor in module.state_dict().values())
    if free < needed:
        raise DiskError(
            f"the disk of {root / LOGS} has {in_mib(free)} free, and the checkpoints of this run "
            f"take more than {in_mib(needed)}; free some, or name a folder of another disk: "
            f"Trainer.default_root_dir"
        )


def _is_of_csv(logger: Logger, folder: Path) -> bool:
    """Return whether a logger would write the run's table, and remove that of one that goes on."""
    return isinstance(logger, CSVLogger) and Path(logger.log_dir).resolve() == folder.resolve()


def _of(measured: Mapping[str, float], prefix: str) -> dict[str, float]:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): value
        for name, value in measured.items()
        if name.startswith(start) and math.isfinite(value)
    }


class MetricsFile(Logger):
    """Appends what is logged to a table, as Lightning's CSVLogger has it.

    That one removes the table of a run that goes on.

    Args:
        path: The file, which may be there already.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.num_rows = 0
        """Number of rows that are there, of a run that goes on once it has written one."""
        self._columns: list[str] = []

    @property
    @override
    def name(self) -> None:
        return None

    @property
    @override
    def version(self) -> None:
        return None

    @override
    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has them."""

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row."""
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        if new := [name for name in row if name not in self._columns]:
            self._widen(new)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)
        self.num_rows += 1

    def cut(self, num_rows: int) -> list[dict[str, str]]:
        """Leave the first rows, and return the others.

        Args:
            num_rows: How many to leave.
        """
        if not self.path.is_file():
            return []
        rows = self._read()
        self._write(rows[:num_rows])  # also where only half a row is too many
        return rows[num_rows:]

    def _widen(self, new: Sequence[str]) -> None:
        """Write the table anew with more columns; what a killed run left half is left out."""
        rows = self._read()
        self._columns += [name for name in new if name not in self._columns]
        self._write(rows)

    def _read(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if None not in row.values() and None not in row]
            found = list(reader.fieldnames or [])
        self._columns = list(dict.fromkeys([*found, *self._columns]))
        return rows

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        with new_part(self.path.parent) as part:
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self._columns)
                writer.writeheader()
                writer.writerows(rows)
            part.replace(self.path)
        self.num_rows = len(rows)


def folder_of(trainer: Trainer) -> Path:
    """Return the folder of a run; every rank must call it."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, RunFolder) and callback.folder is not None:
            return callback.folder
    return Path(trainer.log_dir or trainer.default_root_dir)
