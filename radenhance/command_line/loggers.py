"""The loggers of a fit: those that flags name, each told which run it logs.

Lightning's take name, folder and id when they are made, and a run has its folder only when its data
is known to be there. They are therefore made once to see that they can be, and once in the folder.
What flags say of names and folders stays; what they leave open is the run's. W&B and MLflow give a
run an id of their own, which run.json keeps, so that a run that goes on goes on there, too.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from radenhance.callbacks.run_folder import METRICS, LoggersOf
from radenhance.errors import UsageError
from radenhance.flags.compared import compared_flags
from radenhance.flags.parser import ParsedFlags
from radenhance.foreign_text import one_line
from radenhance.log_points import without_curves
from radenhance.runs import number_of

LOGGING = ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize")
"""What Lightning calls of a logger in a run."""

NAMELESS_WANDB = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "x_disable_meta": True,
}
"""Settings that keep W&B from the terminal and the command line, which name files and folders."""

NAMELESS_MLFLOW = {"mlflow.source.name": "radenhance", "mlflow.user": "radenhance"}
"""Tags in place of the folder of the program and the account."""


def loggers_of(flags: ParsedFlags) -> LoggersOf:
    """Return what makes the loggers of a run: those that flags name, else TensorBoard's.

    Args:
        flags: All of the run.

    Raises:
        UsageError: One cannot be made, as where its library is not installed.
    """
    settings = flags.settings
    entries = list(_numbered(settings.trainer.logger))

    def of_run(folder: Path, ids: Mapping[str, str]) -> tuple[list[Logger], dict[str, str]]:
        if settings.trainer.logger is False:
            return [], {}
        if not entries:
            return [failing_softly(tensorboard(folder))], {}
        loggers, started = [], {}
        with_names: bool = settings.data.log_names
        name = _name_of(folder, with_names=with_names)
        for key, kind, entry in entries:
            own = placed(kind, entry, folder, name, ids.get(key))
            logger = make(own if with_names else _nameless(kind, own))
            if isinstance(logger, WandbLogger | MLFlowLogger):
                with in_a_sentence(kind.__name__):
                    started[key] = _started(logger, compared_flags(settings), anew=key not in ids)
            loggers.append(failing_softly(logger))
        return loggers, {key: one for key, one in started.items() if one is not None}

    return of_run


def make(entry: Namespace) -> Logger:
    """Return a logger.

    Args:
        entry: Its class and arguments.

    Raises:
        UsageError: It cannot be made.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Logger, "logger")
    with in_a_sentence(entry.class_path.rpartition(".")[2]):
        logger: Logger = parser.instantiate(Namespace(logger=entry)).logger  # type: ignore[no-untyped-call]
    return logger


def named(asked: Any) -> list[Namespace]:
    """Return the loggers that `Trainer.logger` names, as classes with arguments."""
    if isinstance(asked, bool) or asked is None:
        return []
    return list(asked) if isinstance(asked, list | tuple) else [asked]


def tensorboard(folder: Path) -> TensorBoardLogger:
    """Return TensorBoard's logger that writes into a folder."""
    return TensorBoardLogger(folder.parent, name="", version=folder.name, default_hp_metric=False)


def failing_softly(logger: Logger) -> Logger:
    """Return a logger without which a run goes on when it cannot write any more."""
    for name in LOGGING:
        setattr(logger, name, without_curves()(getattr(logger, name)))
    return logger


@contextmanager
def in_a_sentence(name: str) -> Iterator[None]:
    """Turn what keeps a logger from being made or started into a UsageError.

    Args:
        name: Its class.
    """
    try:
        yield
    except Exception as error:  # W&B and MLflow have exceptions of their own for most things
        reason: BaseException = error
        while (below := reason.__cause__ or reason.__context__) is not None:
            reason = below  # jsonargparse lists all types that a logger might have been
        raise UsageError(
            f"Trainer.logger {name} cannot be used: {one_line(reason, 1000)}"
        ) from error


def _numbered(asked: Any) -> Iterator[tuple[str, type[Logger], Namespace]]:
    """Yield loggers with their classes and names in run.json, numbered from the second on."""
    found: Counter[str] = Counter()
    for entry in named(asked):
        kind = type(make(entry))
        found[kind.__name__] += 1
        number = found[kind.__name__]
        yield kind.__name__ if number == 1 else f"{kind.__name__} {number}", kind, entry


def placed(
    kind: type[Logger], entry: Namespace, folder: Path, name: str, known: str | None
) -> Namespace:
    """Return a logger's class and arguments, those that flags leave open as the run has them.

    Args:
        kind: The class.
        entry: Class and arguments of flags.
        folder: Folder of the run.
        name: What servers call the run.
        known: The id by which the logger knows the run that goes on; None of a new one.
    """
    own = entry.clone()
    given = own.init_args
    left_open: dict[str, str | None] = {}
    if issubclass(kind, WandbLogger):
        left_open = {"name": name, "version": given.id or known}
        if given.save_dir == ".":
            given.save_dir = str(folder)
    elif issubclass(kind, MLFlowLogger):
        left_open = {"run_name": name, "run_id": known}
    elif issubclass(kind, CSVLogger | TensorBoardLogger):
        if not given.save_dir:
            given.save_dir, given.name = str(folder.parent), ""
        where = Path(given.save_dir, given.name or "")
        left_open = {"version": _unused(where, folder) if kind is CSVLogger else folder.name}
    for argument, value in left_open.items():
        if given[argument] is None:
            given[argument] = value
    return own


def _name_of(folder: Path, *, with_names: bool) -> str:
    """Return what servers call a run: as its folder, but for one that the user named."""
    number = number_of(folder)
    is_named = number is not None and not folder.name.endswith(f"_{number}")
    return f"run_{number}" if is_named and not with_names else folder.name


def _nameless(kind: type[Logger], entry: Namespace) -> Namespace:
    """Return a logger's class and arguments, told to leave out what names files and folders."""
    if issubclass(kind, WandbLogger):
        entry.dict_kwargs = {"settings": NAMELESS_WANDB, **(entry.get("dict_kwargs") or {})}
    elif issubclass(kind, MLFlowLogger):
        entry.init_args.tags = NAMELESS_MLFLOW | (entry.init_args.tags or {})
    return entry


def _unused(where: Path, folder: Path) -> str:
    """Return the name of a run, with a number where it has a table, which Lightning would remove.

    In the run's own folder there is none of Lightning's.
    """
    names = (folder.name if number == 1 else f"{folder.name}-{number}" for number in count(1))
    return next(
        name for name in names if where / name == folder or not (where / name / METRICS).exists()
    )


def _started(
    logger: WandbLogger | MLFlowLogger, flags: Mapping[str, Any], *, anew: bool
) -> str | None:
    """Start a run of W&B or MLflow, or go on with one, and return its id; None but on rank 0."""
    _ = logger.experiment
    if isinstance(logger, MLFlowLogger) and not anew:
        setattr(logger, "log_hyperparams", _leave_out)  # noqa: B010 - they cannot be changed
    else:
        logger.log_hyperparams(dict(flags))
    return logger.version


def _leave_out(*_: Any, **__: Any) -> None:
    """Log nothing."""


def finish(loggers: Iterable[Logger]) -> None:
    """End the run of W&B, of which a process has one at a time: the next fit would join it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
            import_module("wandb").teardown()  # its process stays in the folder where it began
