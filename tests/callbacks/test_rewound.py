"""The curves of a run that was cut and went on are those of one that was not."""

import csv
import itertools
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance.callbacks.run_folder import MetricsFile
from radenhance.cli import main
from radenhance.command_line import trainer as command_trainer
from radenhance.command_line.loggers import tensorboard
from radenhance.enhancer import ContrastEnhancer

LOGS = Path("lightning_logs")
FLAGS = ["--trainer.log_every_n_steps=1", "--trainer.max_epochs=2"]
MEASURED = ("time/", "memory/")
"""What differs from run to run."""


class PowerCutError(Exception):
    """Takes the place of SIGKILL."""


class Server(Logger):
    """A logger that takes nothing back."""

    name = version = None

    def __init__(self):
        super().__init__()
        self.points = Counter()

    def log_metrics(self, metrics, step=None):
        self.points.update((step, name) for name in metrics if is_certain(name))

    def log_hyperparams(self, *args, **kwargs):
        pass


def is_certain(name):
    return not name.startswith(MEASURED) and name != "epoch"


def cut_power():
    raise PowerCutError


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def is_last(trainer, path, *_):
    return Path(path).stem == "last"


def is_any(*_):
    return True


def fit(flags, name, server):
    """Fit into a run; return the exit code, and what each logger has of the run."""
    with pytest.MonkeyPatch.context() as patched:
        made = lambda run, ids: ([tensorboard(run), server], {})  # noqa: E731
        patched.setattr(command_trainer, "loggers_of", lambda parsed: made)
        code = main(["fit", *flags, *FLAGS])
    return code, shown(LOGS / name, server)


def shown(run, server):
    """Return the rows of the table, what TensorBoard shows, and what the server has."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [
            {name: one for name, one in row.items() if one and not name.startswith(MEASURED)}
            for row in csv.DictReader(file)
        ]
    events = EventAccumulator(str(run)).Reload()
    points = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if is_certain(tag)
    }
    return [row for row in rows if row.keys() - {"step"}], points, server.points


CUTS = {
    "right after a step's last.ckpt": (Trainer, "save_checkpoint", 1, is_last, cut_power),
    "right after an epoch's last.ckpt": (Trainer, "save_checkpoint", 2, is_last, cut_power),
    "a step after last.ckpt": (MetricsFile, "log_metrics", 10, is_any, cut_power),
    "among an epoch's last rows": (MetricsFile, "log_metrics", 12, is_any, cut_power),
    "Ctrl-C within an epoch": (ContrastEnhancer, "training_step", 4, is_any, press_ctrl_c),
}
"""Where -> method, how many of which calls come before, and what follows that call."""


EVERY = dict.fromkeys(CUTS, "--last_checkpoint.every_n_steps=1") | {
    "a step after last.ckpt": "--last_checkpoint.every_n_steps=2",
    "Ctrl-C within an epoch": "--last_checkpoint.every_n_steps=0",
}
"""Where -> how often last.ckpt is written."""


def test_a_run_that_goes_on_has_the_rows_of_one_that_was_not_cut_once(tiny_flags):
    code, expected = fit([*tiny_flags, "--run_name=whole"], "whole", Server())
    assert code == 0
    assert set(expected[2].values()) == {1}
    for where, (owner, method, number, is_meant, cut) in CUTS.items():
        original, calls, server = getattr(owner, method), itertools.count(), Server()
        flags = [*tiny_flags, EVERY[where]]

        def cutting(self, *arguments, **options):
            result = original(self, *arguments, **options)  # noqa: B023 - runs within this turn
            if is_meant(self, *arguments) and next(calls) == number:  # noqa: B023
                cut()  # noqa: B023
            return result

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(owner, method, cutting)
            try:
                code, _ = fit([*flags, "--run_name=cut"], "cut", server)
                assert code == 130, where
            except PowerCutError:
                pass
        code, found = fit([*flags, "--ckpt_path=last"], "cut", server)
        assert (code, found) == (0, expected), where
        shutil.rmtree(LOGS / "cut")
