"""Cuts of a run, and what a run is made of: the cases that must resume to the bit, and one of them.

A case runs in this process, with the Trainer, LastCheckpoint, data module and schedules of a real
fit, on images of 32 pixels and two layers in place of the U-Net. A kill restores the file that was
written last; Ctrl-C and SIGTERM are signals that the process sends itself.
"""

import logging
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    ModelCheckpoint,
)
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.utilities.exceptions import SIGTERMException
from narrow import NARROW
from torch import nn
from torch.optim import SGD, lr_scheduler

from radenhance.callbacks.last_checkpoint import LastCheckpoint
from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.manifest import Pair, write_manifest
from radenhance.enhancer import ContrastEnhancer

EPOCHS = 3
BATCHES = 7
"""Of an epoch: with 3 to a step, the last step of an epoch has one."""

CUTS = {
    "in a window": (1, 2, "step"),
    "after a step": (1, 3, "step"),
    "before a validation": (1, 6, "step"),
    "in a validation": (1, None, "validation"),
    "between epochs": (1, None, "epoch"),
}
"""Where -> epoch, batch, and what ends there when the run is cut."""

SIGNALS = {"kill": None, "Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM}

SCHEDULES: dict[str, Any] = {
    "default cosine": {},
    "warm-up": {"warmup_steps": 5},
    "StepLR": {"lr_scheduler": partial(lr_scheduler.StepLR, step_size=1, gamma=0.3)},
    "OneCycleLR": {
        "lr_scheduler": partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=30),
        "lr_interval": "step",
    },
    "ReduceLROnPlateau": {
        "lr_scheduler": partial(
            ReduceLROnPlateau,
            monitor="val/loss",
            patience=0,
            threshold=1000,
            threshold_mode="abs",
            factor=0.7,
        )
    },
    "warm restarts": {
        "lr_scheduler": partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=4),
        "lr_interval": "step",
    },
}
ACCUMULATIONS: dict[str, Any] = {"1": 1, "3": 3, "changing": {0: 1, 1: 3, 2: 2}}
VALIDATIONS: dict[str, dict[str, Any]] = {
    "every epoch": {},
    "every third batch": {"val_check_interval": 3},
    "twice an epoch": {"val_check_interval": 0.5},
    "every 10 batches of all": {"val_check_interval": 10, "check_val_every_n_epoch": None},
}
LOGGERS = ("TensorBoard", "CSV", "none", "both")
BESIDE: dict[str, tuple[str, Any]] = {
    "max_steps that ends within an epoch": ("1", lambda: {"max_steps": 18}),
    "max_steps that ends within an epoch, 3 batches to a step": ("3", lambda: {"max_steps": 8}),
    "limit_train_batches, 3 batches to a step": ("3", lambda: {"limit_train_batches": 5}),
    "float16 with a gradient scaler, 3 batches to a step": (
        "3",
        lambda: {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]},
    ),
}
"""What runs are tested with beside the product -> their accumulation, and the trainer's options."""

TWO_PROCESSES = "two processes (ddp), 3 batches to a step"


@dataclass(frozen=True)
class Case:
    """One run that is cut and goes on.

    Attributes:
        cut: What stops it, of SIGNALS.
        where: When, of CUTS.
        schedule: Of SCHEDULES.
        accumulation: Batches to a step, of ACCUMULATIONS.
        validation: How often it validates, of VALIDATIONS.
        logger: Of LOGGERS.
    """

    cut: str
    where: str
    schedule: str
    accumulation: str
    validation: str
    logger: str

    def __str__(self) -> str:
        return ", ".join(asdict(self).values())


Options = Callable[[], dict[str, Any]]
CHOICES = (SIGNALS, CUTS, SCHEDULES, ACCUMULATIONS, VALIDATIONS, LOGGERS)


def all_cases() -> Iterator[Case]:
    """Return the whole product."""
    return (Case(*values) for values in product(*CHOICES))


def pairwise(at_least: int = 60) -> list[Case]:
    """Return cases in which each two values of two attributes meet, always the same ones."""
    names = [field.name for field in fields(Case)]

    def pairs(case: Case) -> set[tuple[str, str, str, str]]:
        return {(a, getattr(case, a), b, getattr(case, b)) for a, b in combinations(names, 2)}

    rest = {case: pairs(case) for case in all_cases()}
    missing = set().union(*rest.values())
    chosen: list[Case] = []
    while missing:
        case = max(rest, key=lambda one: len(rest[one] & missing))
        missing -= rest.pop(case)
        chosen.append(case)
    spread = list(rest)[:: max(1, len(rest) // max(1, at_least - len(chosen)))]
    return chosen + spread[: max(0, at_least - len(chosen))]


class Cut(Callback):
    """Stops a run at a place of CUTS."""

    def __init__(self, where: str, stop: signal.Signals | None) -> None:
        self.epoch, self.batch, self.hook = CUTS[where]
        self.stop = stop
        self.is_done = False

    def cut(self, trainer: Trainer, hook: str, batch: int | None = None) -> None:
        if (self.epoch, self.batch, self.hook) == (trainer.current_epoch, batch, hook):
            if self.is_done or trainer.sanity_checking:
                return
            self.is_done = True
            if self.stop is None:
                raise PowerCutError
            os.kill(os.getpid(), self.stop)

    def on_train_batch_start(
        self, trainer: Trainer, module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.cut(trainer, "step", batch_idx)

    def on_validation_start(self, trainer: Trainer, module: Any) -> None:
        self.cut(trainer, "validation")

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        self.cut(trainer, "epoch")


class PowerCutError(Exception):
    """Takes the place of SIGKILL."""


class Curves(Callback):
    """Notes the rate of each step, and what each validation measured."""

    def __init__(self) -> None:
        self.rates: dict[int, float] = {}
        self.measures: dict[int, dict[str, float]] = {}

    def on_before_optimizer_step(self, trainer: Trainer, module: Any, optimizer: Any) -> None:
        self.rates[trainer.global_step] = optimizer.param_groups[0]["lr"]

    def on_validation_epoch_end(self, trainer: Trainer, module: Any) -> None:
        if not trainer.sanity_checking:
            batch = trainer.fit_loop.total_batch_idx
            metrics = trainer.callback_metrics
            self.measures[batch] = {k: v.item() for k, v in metrics.items() if k[:4] == "val/"}


class Small(ContrastEnhancer):
    """The method around two layers, one of which has statistics of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            encoder=NARROW,
            num_scales=1,
            optimizer=partial(SGD, lr=0.05, momentum=0.9),
            **options,
        )
        torch.manual_seed(0)
        self.unet = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2))
        self.unet.append(nn.Conv2d(2, 1, 1))

    def network(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the layers make of an image."""
        result: torch.Tensor = self.unet(image)
        return result


def make_data(root: Path) -> None:
    """Write 7 pairs to train on and 2 to validate on."""
    random = np.random.default_rng(0)
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
        for i in range(BATCHES + 2):
            image = random.integers(0, 65536, (32, 32), dtype=np.uint16)
            np.save(root / half / f"{i}.npy", image)
    for i in range(BATCHES + 2):
        split = "train" if i < BATCHES else "val"
        pairs.append(Pair(f"{i}", f"p{i}", f"raw/{i}.npy", f"target/{i}.npy", split))
    write_manifest(root, pairs)


def loggers(kind: str, folder: Path) -> list[Logger] | bool:
    """Return the loggers of a case, which write to one folder."""
    made: list[Logger] = []
    if kind in ("TensorBoard", "both"):
        made.append(TensorBoardLogger(folder, name="logs", version=0, default_hp_metric=False))
    if kind in ("CSV", "both"):
        made.append(CSVLogger(folder, name="logs", version=0))
    return made or False


def fit(
    case: Case, folder: Path, data: Path, *callbacks: Callback, is_resumed: bool, **options: Any
) -> Trainer:
    """Run a case, from its start or from the last checkpoint, with more options of the trainer."""
    accumulation = ACCUMULATIONS[case.accumulation]
    added = list(callbacks)
    if isinstance(accumulation, dict):
        added.append(GradientAccumulationScheduler(accumulation))
        accumulation = 1
    best = ModelCheckpoint(monitor="val/loss", filename="best", enable_version_counter=False)
    added += [EarlyStopping("val/loss", patience=50), best, LastCheckpoint(0, every_n_steps=1)]
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=EPOCHS,
        accumulate_grad_batches=accumulation,
        logger=loggers(case.logger, folder),
        callbacks=added,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **VALIDATIONS[case.validation],
        **options,
    )
    module = Small(**SCHEDULES[case.schedule])
    datamodule = RadiographDataModule(root=data, image_size=32, num_workers=0)
    last = next(folder.rglob("last.ckpt"), None) if is_resumed else None
    trainer.fit(module, datamodule, ckpt_path=last, weights_only=False)
    return trainer


def beside(
    name: str, folder: Path, data: Path, cuts: Sequence[str] = ("in a window", "after a step")
) -> dict[str, list[str]]:
    """Return what differs between a run of BESIDE and ones that are cut at places."""
    accumulation, options = BESIDE.get(name, ("3", lambda: {"strategy": "ddp", "num_nodes": 2}))
    like = Case("kill", cuts[0], "default cosine", accumulation, "every epoch", "none")
    cases = [replace(like, where=where) for where in cuts]
    expected = whole(like, folder / "whole", data, options)
    return {
        case.where: differences(expected, resumed(case, folder / case.where, data, options))
        for case in cases
    }


def in_two_processes(folder: Path, data: Path) -> int:
    """Run one of two processes; return 1 where a run that was cut ends otherwise."""
    quiet()
    found = beside(TWO_PROCESSES, folder, data, ["in a window"])
    assert torch.distributed.get_world_size() == 2
    sys.stdout.write(str(found))
    return int(any(found.values()))


def whole(
    case: Case, folder: Path, data: Path, options: Options = dict
) -> tuple[dict[str, Any], Curves]:
    """Run a case that is not cut; return its last checkpoint and its curves."""
    curves = Curves()
    fit(case, folder, data, curves, is_resumed=False, **options())
    return content(folder), curves


def resumed(
    case: Case, folder: Path, data: Path, options: Options = dict
) -> tuple[dict[str, Any], Curves]:
    """Run a case that is cut and goes on; return its last checkpoint and its curves."""
    curves = Curves()
    cut = Cut(case.where, SIGNALS[case.cut])
    with suppress(PowerCutError, SIGTERMException, SystemExit, KeyboardInterrupt):
        fit(case, folder, data, curves, cut, is_resumed=False, **options())
    assert cut.is_done, case
    fit(case, folder, data, curves, cut, is_resumed=True, **options())
    return content(folder), curves


def content(folder: Path) -> dict[str, Any]:
    """Return the content of the last checkpoint of a run."""
    result: dict[str, Any] = torch.load(next(folder.rglob("last.ckpt")), weights_only=True)
    return result


def is_equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same to the bit, and so is all that they hold."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):  # current_score is shown, and decides nothing
        compared = one.keys() - {"current_score"}
        return one.keys() == other.keys() and all(is_equal(one[k], other[k]) for k in compared)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_equal, one, other))
    return bool(one == other)


def differences(
    expected: tuple[dict[str, Any], Curves], found: tuple[dict[str, Any], Curves]
) -> list[str]:
    """Return what differs between a run and one that was cut."""
    (one, drawn), (other, redrawn) = expected, found
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "global_step")
    names = [name for name in kept if not is_equal(one[name], other[name])]
    if drawn.rates != redrawn.rates:
        names.append("rates")
    if drawn.measures != redrawn.measures:
        names.append("val/*")
    return names


def quiet() -> None:
    """Leave out what Lightning says of small runs."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Runs:
    """Runs cases in a folder; one run that is not cut serves all cases that are made like it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole: dict[tuple[str, str, str], tuple[dict[str, Any], Curves]] = {}
        self.num_cases = 0
        make_data(folder / "data")

    def differences(self, case: Case) -> list[str]:
        """Return what differs between a case and the run that is not cut."""
        self.num_cases += 1
        data, key = self.folder / "data", (case.schedule, case.accumulation, case.validation)
        if key not in self.whole:
            self.whole[key] = whole(case, self.folder / f"whole{self.num_cases}", data)
        folder = self.folder / f"cut{self.num_cases}"
        return differences(self.whole[key], resumed(case, folder, data))


def page() -> str:
    """Return the page that says which runs are tested to resume to the bit."""
    names = ("Stopped by", "where", "Schedule", "Batches to a step", "Validation", "Logger")
    rows = [
        f"| {name} | {', '.join(values)} |" for name, values in zip(names, CHOICES, strict=True)
    ]
    return "\n".join(
        [
            "# What resumes to the bit",
            "",
            "A run that was stopped and goes on from its `last.ckpt` ends, on a CPU, with the same "
            "bits as one that was not",
            "stopped: weights, buffers, the optimizer, the schedule, the learning rate of each "
            "step, every `val/*`, and what",
            "early stopping and the best checkpoint keep. This page is written by "
            "`python tests/helpers/resume_matrix.py`",
            "from the list that the tests go through.",
            "",
            "| | tested |",
            "|---|---|",
            *rows,
            "",
            f"These make {len(list(all_cases()))} runs. The tests do {len(pairwise())} of them, in "
            "which each two values of two rows meet;",
            "`tests/campaigns/resume_matrix.py` does any number.",
            "",
            textwrap.fill(
                f"Beside these, killed in a window or after a step: "
                f"{'; '.join([*BESIDE, TWO_PROCESSES])}.",
                120,
            ),
            "",
            "`last.ckpt` is written only where a step of the optimizer has ended, and the "
            "validation that is due then. A stop by",
            "Ctrl-C, SIGTERM or SIGHUP waits for that; after a kill the run goes on from the file "
            "that was written last.",
            "",
            "Curves are those of a run that was not stopped, too: a step is logged before its "
            "checkpoint is written, and what was",
            "logged after it is taken back, as the run does those steps again. `metrics.csv` loses "
            "those rows, TensorBoard is told",
            "to leave out what follows; W&B and MLflow take nothing back, and are not given again "
            "what they have.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(page())
