"""The trainer of a run: with its folder, its logger, and the callbacks that every run has.

A run that goes on from its own last checkpoint goes on in its own folder, so that its curves do.
Where a logger cannot write, the run goes on without it. Commands that train nothing have no folder,
unless a logger is asked for.
"""

from typing import Any

from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from radenhance.callbacks.dashboard import Dashboard
from radenhance.callbacks.last_checkpoint import FILE_NAME, LastCheckpoint
from radenhance.callbacks.previews import Previews
from radenhance.callbacks.stopwatch import Stopwatch
from radenhance.checkpoint import WholeFileCheckpointIO
from radenhance.errors import UsageError
from radenhance.flags.compared import compared_flags, typed, without_places
from radenhance.flags.parser import ParsedFlags
from radenhance.log_points import without_curves
from radenhance.runs import LOGS, version_of

LOGGING = ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize")
"""What Lightning calls of a logger in a run."""


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
    options["logger"] = _logger(flags, options["logger"])
    # without a logger there is no folder of the run, and only a fit is repeated from its flags
    is_kept = flags.command == "fit" or (options["logger"] and flags.command != "predict")
    if is_kept and not options["fast_dev_run"]:
        options["callbacks"].append(
            SaveConfigCallback(flags.parser, _settings_to_keep(flags), overwrite=True)
        )
    options["plugins"] = _listed(options["plugins"])
    if not any(isinstance(plugin, CheckpointIO) for plugin in options["plugins"]):
        options["plugins"].append(WholeFileCheckpointIO())
    try:
        trainer = Trainer(**options)
    except (ValueError, TypeError) as error:  # Lightning's words for a wrong flag of the trainer
        raise UsageError(f"a flag of the trainer is wrong: {error}") from error
    for logger in trainer.loggers:
        _let_fail(logger)
    return trainer


def _let_fail(logger: Logger) -> None:
    for name in LOGGING:
        setattr(logger, name, without_curves()(getattr(logger, name)))


def _listed(found: Any) -> list[Any]:
    """Return what Lightning takes as a list, as one, or as None."""
    if found is None:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _of_every_run(flags: ParsedFlags, made: Namespace) -> list[Callback]:
    """Return the callbacks of every run, without those that the trainer has no use for."""
    unwanted: list[type[Callback]] = []
    if made.trainer.logger is False:
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


def _logger(flags: ParsedFlags, asked: Any) -> Any:
    """Return the logger: what was asked for, else TensorBoard's for a fit.

    One value of each measure draws no curve: the others print what they measured, and log where
    they are asked to. Of a prediction there is nothing to log.
    """
    if asked not in (None, True):
        return asked
    is_wanted = flags.command == "fit" or (asked and flags.command != "predict")
    return _tensorboard(flags) if is_wanted else False


def _tensorboard(flags: ParsedFlags) -> TensorBoardLogger:
    resumed = flags.checkpoint if flags.command == "fit" else None
    version = version_of(resumed) if resumed and resumed.name == FILE_NAME else None
    return TensorBoardLogger(flags.root, name=LOGS, version=version, default_hp_metric=False)
