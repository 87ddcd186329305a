"""The trainer of a run: with its folder, its logger, and the callbacks that every run has.

A run that goes on from its own last checkpoint goes on in its own folder, so that its curves do.
"""

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from radenhance.callbacks.dashboard import Dashboard
from radenhance.callbacks.last_checkpoint import FILE_NAME, LastCheckpoint
from radenhance.callbacks.previews import Previews
from radenhance.callbacks.stopwatch import Stopwatch
from radenhance.checkpoint import WholeFileCheckpointIO
from radenhance.errors import UsageError
from radenhance.flags.compared import compared_flags, typed
from radenhance.flags.parser import ParsedFlags
from radenhance.runs import LOGS, version_of


def make_trainer(flags: ParsedFlags, made: Namespace) -> Trainer:
    """Return the trainer that flags describe.

    Args:
        flags: All of the run.
        made: What `flags.instantiate` returned.

    Raises:
        UsageError: A flag of the trainer is wrong.
    """
    options = dict(vars(made.trainer))
    options["callbacks"] = [*_named(options["callbacks"]), *_of_every_run(flags, made)]
    if not options["fast_dev_run"]:
        options["callbacks"].append(
            SaveConfigCallback(flags.parser, flags.settings, overwrite=True)
        )
    if options["logger"] in (None, True):
        options["logger"] = _tensorboard(flags)
    if not options["plugins"]:
        options["plugins"] = [WholeFileCheckpointIO()]
    try:
        return Trainer(**options)
    except (ValueError, TypeError) as error:  # Lightning's words for a wrong flag of the trainer
        raise UsageError(f"a flag of the trainer is wrong: {error}") from error


def _named(callbacks: list[Callback] | Callback | None) -> list[Callback]:
    if callbacks is None:
        return []
    return callbacks if isinstance(callbacks, list) else [callbacks]


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
        words = typed([flags.command, *flags.typed])
        found += [Stopwatch(), Previews(), Dashboard(compared_flags(flags.settings), words)]
    return found


def _tensorboard(flags: ParsedFlags) -> TensorBoardLogger:
    resumed = flags.checkpoint if flags.command == "fit" else None
    version = version_of(resumed) if resumed and resumed.name == FILE_NAME else None
    return TensorBoardLogger(flags.root, name=LOGS, version=version, default_hp_metric=False)
