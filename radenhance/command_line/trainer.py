"""The trainer of a run: with its folder, its logger, and the callbacks that every run has.

A fit has a folder of its own, whatever logs it (`callbacks.run_folder`); one that goes on from its
own last checkpoint goes on there, so that its curves do. Where a logger cannot write, the run goes
on without it. Commands that train nothing make no run; a logger that is asked for logs beside them.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

from radenhance import metric_names
from radenhance.callbacks.dashboard import Dashboard, versions
from radenhance.callbacks.epoch_lines import EpochLines, MinutesLeft
from radenhance.callbacks.last_checkpoint import FILE_NAME, LastCheckpoint
from radenhance.callbacks.previews import Previews
from radenhance.callbacks.run_folder import BEST_BY, CONFIG, MODE, MONITOR, RunFolder
from radenhance.callbacks.stopwatch import Stopwatch
from radenhance.checkpoint import WholeFileCheckpointIO
from radenhance.command_line.loggers import (
    loggers_of,
    named,
)
from radenhance.errors import UsageError
from radenhance.flags.compared import compared_flags, typed, without_places
from radenhance.flags.parser import ParsedFlags
from radenhance.runs import LOGS, label_of, run_of


def make_trainer(flags: ParsedFlags, made: Namespace) -> Trainer:
    """Return the trainer that flags describe.

    Args:
        flags: All of the run.
        made: What `flags.instantiate` returned.

    Raises:
        UsageError: A flag of the trainer is wrong.
    """
    options = dict(vars(made.trainer))
    options["callbacks"] = [*_listed(options["callbacks"]), *_of_every_run(flags, made)]
    if has_bars(flags):
        if flags.command == "fit":
            options["callbacks"].append(MinutesLeft())
    else:
        options["enable_progress_bar"] = False
        if flags.command == "fit" and not flags.settings.quiet:
            options["callbacks"].append(EpochLines(as_json=flags.settings.log_json))
    if flags.command == "fit" and not options["fast_dev_run"]:
        # first, so that the others find loggers
        options["callbacks"].insert(0, _run_folder(flags))
        options["logger"] = False
    else:
        options["logger"] = _logger(flags)
    options["plugins"] = _listed(options["plugins"])
    if not any(isinstance(plugin, CheckpointIO) for plugin in options["plugins"]):
        options["plugins"].append(WholeFileCheckpointIO())
    try:
        trainer = Trainer(**options)
    except (ValueError, TypeError) as error:  # Lightning's words for a wrong flag of the trainer
        raise UsageError(f"a flag of the trainer is wrong: {error}") from error
    _refuse_clocks(trainer, options["val_check_interval"])
    return trainer


def _refuse_clocks(trainer: Trainer, interval: object) -> None:
    """Refuse a validation by the clock, where that of each process would decide for itself.

    Raises:
        UsageError: One would validate while the others wait for it to train.
    """
    if trainer.world_size > 1 and isinstance(interval, str | dict | timedelta):
        raise UsageError(
            f"Trainer.val_check_interval {interval} is a time, which {trainer.world_size} "
            f"processes do not reach at the same batch; give a number of batches"
        )


def has_bars(flags: ParsedFlags) -> bool:
    """Return whether progress bars are drawn: on a terminal, or where they are asked for."""
    settings = flags.settings
    if settings.quiet or settings.log_json:
        return False
    asked = settings.trainer.enable_progress_bar
    return sys.stdout.isatty() if asked is None else bool(asked)


def _listed(found: Any) -> list[Any]:
    """Return what Lightning takes as a list, as one, or as None."""
    if found is None:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _of_every_run(flags: ParsedFlags, made: Namespace) -> list[Callback]:
    """Return the callbacks of every run, without those that the trainer has no use for."""
    unwanted: list[type[Callback]] = []
    if flags.settings.trainer.logger is False:
        unwanted.append(LearningRateMonitor)
    if made.trainer.enable_checkpointing is False:
        unwanted += [ModelCheckpoint, LastCheckpoint]
    callbacks = [made[key] for key in flags.parser.callback_keys]
    found = [callback for callback in callbacks if not isinstance(callback, tuple(unwanted))]
    if flags.command == "fit":
        words = typed([flags.command, *flags.typed], names=flags.settings.data.log_names)
        found += [Stopwatch(), Previews(), Dashboard(compared_flags(flags.settings), words)]
    return found


def _settings_to_keep(flags: ParsedFlags) -> Namespace:
    if flags.settings.data.log_names:
        return flags.settings
    return without_places(flags.settings, flags.parser.get_defaults(skip_validation=True))


def _resumed(flags: ParsedFlags) -> Path | None:
    """Return the folder of the run that goes on, None where one begins.

    Raises:
        UsageError: It is to have another name.
    """
    checkpoint, name = flags.checkpoint, flags.settings.run_name
    folder = run_of(checkpoint) if checkpoint and checkpoint.name == FILE_NAME else None
    if folder is not None and name not in (None, folder.name):
        raise UsageError(
            f"Trainer.fit.run_name {name}: the run of {checkpoint} goes on in its own folder, "
            f"under its name; leave run_name out, or begin a run with ContrastEnhancer.weights"
        )
    return folder


def _run_folder(flags: ParsedFlags) -> RunFolder:
    settings = flags.settings
    best, resumed = settings.best_checkpoint, _resumed(flags)
    compared = compared_flags(settings)
    # what repeats a run from its own configuration says nothing by that file's name
    words = [word for word in compared["recipe"].split() if word not in ("none", Path(CONFIG).stem)]
    about = {
        "command": typed([flags.command, *flags.typed], names=settings.data.log_names),
        "recipe": compared["recipe"],
        "versions": versions(),
        "flags": compared,
        BEST_BY: {MONITOR: best.monitor or metric_names.VAL_LOSS, MODE: best.mode},
    }
    return RunFolder(
        flags.root,
        label_of(" ".join(words), settings.data.image_size),
        settings.run_name,
        resumed,
        about,
        flags.parser.dump(_settings_to_keep(flags), skip_none=False),
        loggers_of(flags),
    )


def _logger(flags: ParsedFlags) -> Any:
    """Return the loggers of what makes no run: those that were asked for.

    One value of each measure draws no curve: they print what they measured, and log where they are
    asked to. Of a prediction there is nothing to log.
    """
    asked = flags.settings.trainer.logger
    if flags.command == "fit":
        return asked is not False  # of a quick try: Lightning takes a dummy instead
    if named(asked) or (asked and flags.command != "predict"):
        loggers, _ = loggers_of(flags)(flags.root / LOGS / flags.command / "log", {})
        return loggers
    return False
