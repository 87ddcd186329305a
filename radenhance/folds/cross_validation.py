"""The folds of a dataset, each a `radenhance fit`, and what their networks are worth together.

All that is known of them is in a folder: settings.json says what they have in common, runs lie
under lightning_logs as runs always do, and fold_1, fold_2, ... hold what each printed and whether
it has finished. The same command goes on there, and another one is refused.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from radenhance.datamodule import FINGERPRINT, RadiographDataModule
from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.flags.compared import without_places
from radenhance.flags.parser import ParsedFlags
from radenhance.inference.evaluation import NETWORK, Evaluation, evaluate
from radenhance.inference.model import open_enhancer
from radenhance.prepare.passed_over import refuse_failures
from radenhance.reproduce.study import FINISHED
from radenhance.runs import CHECKPOINTS, LOGS, NUMBER, REPORT, read_report

SETTINGS = "settings.json"

MAY_CHANGE = (
    "data.cache",
    "data.num_workers",
    "log_json",
    "quiet",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
)
"""Flags that decide nothing of what comes out."""

BEGUN_FROM = ("model.coarse", "model.encoder_weights", "model.weights")
"""Flags with files, of which a hash stands for the file."""

Kept = Literal["last", "best"]
"""Which checkpoint of a run is measured."""


@dataclass(frozen=True)
class CrossValidation:
    """What to run.

    Args:
        out: Folder for runs and tables.
        num_folds: Number of folds.
        typed: Flags of `fit` that all folds have in common, as they were typed.
        flags: The same, parsed.
    """

    out: Path
    num_folds: int
    typed: tuple[str, ...]
    flags: ParsedFlags

    @property
    def folds(self) -> list["Fold"]:
        """The folds, in order."""
        return [Fold(self, number) for number in range(1, self.num_folds + 1)]

    def data(self, fold: int) -> RadiographDataModule:
        """Return the dataset with the split of a fold, made where it is the default one.

        Args:
            fold: Number of the fold, from 1.

        Raises:
            RadenhanceError: There is no dataset, it is not right, or it has too few patients.
        """
        data = self.flags.changed({"data.num_folds": self.num_folds, "data.fold": fold}).data()
        data.prepare_data()
        data.setup("evaluate")
        return data

    def claim(self) -> None:
        """Note in the folder what the folds have in common.

        Raises:
            UsageError: The folder holds folds of other flags or radiographs.
            RadenhanceError: The dataset is not right.
        """
        path = self.out / SETTINGS
        now = self._settings()
        if not path.is_file():
            self.out.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(now, indent=2).encode())
            return
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise UsageError(f"{path} is damaged; choose another folder with --out") from error
        for name in sorted(before.keys() | now.keys(), key=lambda name: name == FINGERPRINT):
            one, other = before.get(name, "the default"), now.get(name, "the default")
            if one == other:
                continue
            what = f"other flags: {name} was {one}, and is {other}"
            if name == FINGERPRINT:
                what = "other radiographs, or of other splits of them"
            raise UsageError(
                f"{self.out} holds folds of {what}; choose another folder with --out, or give the "
                f"same again"
            )

    def _settings(self) -> dict[str, Any]:
        defaults = self.flags.parser.get_defaults(skip_validation=True)
        kept = vars(without_places(self.flags.settings, defaults).as_flat())
        chosen = {name: str(value) for name, value in kept.items() if value != defaults.get(name)}
        for name in BEGUN_FROM:
            path = kept.get(name) and self.flags.settings[name]
            if path is not None and os.path.isfile(path):
                chosen[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        of_data = self.data(fold=1).state_dict()[FINGERPRINT]
        return {
            "folds": self.num_folds,
            **{name: chosen[name] for name in sorted(chosen.keys() - {*MAY_CHANGE})},
            FINGERPRINT: of_data,
        }


@dataclass(frozen=True)
class Fold:
    """One `radenhance fit`.

    Args:
        of: The cross-validation.
        number: Number of the fold whose patients validate, from 1.
    """

    of: CrossValidation
    number: int

    @property
    def folder(self) -> Path:
        """Folder for what the fit prints, and for whether it has finished or failed."""
        return self.of.out / f"fold_{self.number}"

    @property
    def title(self) -> str:
        """What it is called in a line of progress."""
        return f"fold {self.number} of {self.of.num_folds}"

    @property
    def num_processes(self) -> int:
        """Number of processes: one, or two for encoder and decoder."""
        nodes: int = self.of.flags.settings.trainer.num_nodes
        return nodes

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done, and the checkpoint is still there."""
        return (self.folder / FINISHED).exists() and self.checkpoint() is not None

    def checkpoint(self, kept: Kept = "last") -> Path | None:
        """Return a checkpoint of the fold's newest run that has a last one, None without one.

        Args:
            kept: Which of its checkpoints.
        """
        reports = (self.of.out / LOGS).glob(f"[!.]*/{REPORT}")
        runs = {path.parent: read_report(path.parent) for path in reports}
        own = [
            folder
            for folder, report in runs.items()
            if report.get("flags", {}).get("data.fold") == self.number
            and (folder / CHECKPOINTS / "last.ckpt").is_file()
        ]
        if not own:
            return None
        newest = max(own, key=lambda folder: int(runs[folder][NUMBER]))
        return newest / CHECKPOINTS / f"{kept}.ckpt"

    def command(self, accelerator: str) -> list[str]:
        """Return the command of the fit, which goes on from its last checkpoint.

        Args:
            accelerator: What there is; the flags say what is taken.
        """
        flags = [
            f"--trainer.default_root_dir={self.of.out}",
            f"--data.num_folds={self.of.num_folds}",
            f"--data.fold={self.number}",
        ]
        checkpoint = self.checkpoint()
        if checkpoint is not None:
            flags.append(f"--ckpt_path={checkpoint}")
        return [sys.executable, "-m", "radenhance", "fit", *self.of.typed, *flags]

    def evaluate(self, kept: Kept) -> Evaluation:
        """Return what the network does on the patients that validate, at the size of training.

        Args:
            kept: Which checkpoint to measure.

        Raises:
            UsageError: The run has left no such checkpoint.
            RadenhanceError: No radiograph can be read, or memory ran out.
        """
        checkpoint = self.checkpoint(kept)
        if checkpoint is None or not checkpoint.is_file():
            raise UsageError(
                f"{self.title} has left no {kept}.ckpt to measure; leave out flags that write none"
            )
        data = self.of.data(self.number)
        network = open_enhancer(checkpoint, at="native")
        train = data.whole_images("train")
        found = evaluate(data.whole_images("val"), {NETWORK: network}, trained_on=train)
        if not found.cases:
            refuse_failures(found.failures, num_done=0, done=f"measured of {self.title}")
        return found


def pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluations of all folds as one, in which each radiograph is once.

    Args:
        evaluations: Of each fold, at least one; its network stands for all.
    """
    first = evaluations[0]
    shared = [method for method in first.values if all(method in one.values for one in evaluations)]
    values = {
        method: {
            name: np.concatenate([one.values[method][name] for one in evaluations])
            for name in first.values[method]
        }
        for method in shared
    }
    cases = [case for one in evaluations for case in one.cases]
    failures = dict.fromkeys(failure for one in evaluations for failure in one.failures)
    return Evaluation(cases, values, first.networks, list(failures))
