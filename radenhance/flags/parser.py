"""The flags of `radenhance fit`, `validate`, `test` and `predict`: parsed, and nothing run.

Every part of a run declares its flags by the signature and the docstring of its class; there is no
other list of them. What plans a run and what runs it both start from the `ParsedFlags` made here,
so that flags are parsed once.

A checkpoint's settings are defaults: below every config file and flag, never above them. Where one
is named, flags are therefore parsed a second time on top of them.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import lightning.pytorch
from jsonargparse import (
    ActionConfigFile,
    ArgumentError,
    Namespace,
    get_loader,
    set_loader,
    set_parsing_settings,
)
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from yaml import SafeDumper, YAMLError

from radenhance.callbacks.last_checkpoint import LastCheckpoint
from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.callbacks.prediction_writer import PredictionWriter
from radenhance.callbacks.weight_average import WeightAverage
from radenhance.checkpoint import Checkpoint
from radenhance.compat.jsonargparse import add_former_name
from radenhance.datamodule import (
    DEFAULT_ROOT,
    FOLD_PARAMETERS,
    RadiographDataModule,
    same_fold,
)
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import RadenhanceError, UsageError
from radenhance.flags.help import (
    CKPT_PATH,
    CONFIG,
    DEFAULTS,
    LOG_JSON,
    QUIET,
    RUN_NAME,
    SECTIONS,
    SEED,
    WEIGHTS_ONLY,
)
from radenhance.flags.recipes import check_recipe
from radenhance.flags.strategy import choose_strategy
from radenhance.flags.trust import REMEDY, TRUST, denied_import, limit_imports, refuse_what_acts
from radenhance.flags.wrong_values import shortened
from radenhance.foreign_text import one_line
from radenhance.runs import find_checkpoint
from radenhance.text_files import load_yaml

GIVEN_BY_US = {
    "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
    "validate": {"model", "dataloaders", "datamodule"},
    "test": {"model", "dataloaders", "datamodule"},
    "predict": {"model", "dataloaders", "datamodule"},
}
"""Command -> arguments of the trainer's method of that name that are no flags."""

HELPED_BY_US = {"ckpt_path", "weights_only"}
"""Arguments of these methods that mean something else here, or nothing, and are said so."""

LOGGER, IN_FOLDERS = "--trainer.logger", ("CSVLogger", "TensorBoardLogger")
"""Flag that names loggers, and those that Lightning wants a folder for."""

FORMER_FLAGS = {"--data.window": "--data.intensity_range"}
"""Flag of an earlier version -> what it is called; config files of earlier runs have its key."""

_load = get_loader("yaml")


def _load_within_bounds(text: str) -> Any:
    load_yaml(text)
    return _load(text)


# Lightning has switched on that files of flags are read from hosts
set_parsing_settings(config_read_mode_fsspec_enabled=False, instantiate_subclass_spec_in_any=False)
# callbacks of Lightning have members of enums as defaults, which are written as their values
SafeDumper.add_multi_representer(Enum, lambda dumper, one: dumper.represent_data(one.value))
set_loader("yaml", _load_within_bounds, exceptions=(YAMLError,))


@dataclass(frozen=True)
class ParsedFlags:
    """The flags of one command with their values.

    Args:
        command: One of GIVEN_BY_US.
        typed: The flags as they were typed, recipes as paths.
        settings: All values by their dotted names, defaults included.
        checkpoint: The checkpoint to start from, found; None for a fresh start.
        parser: The parser that read them.
        given: Names of the flags that were typed or are in a config file, where there is a
            checkpoint.
        made_with: Flags of the checkpoint's run, as texts.
    """

    command: str
    typed: tuple[str, ...]
    settings: Namespace
    checkpoint: Path | None
    parser: LightningArgumentParser
    given: frozenset[str] = frozenset()
    made_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder that holds the logs of runs."""
        return _root_of(self.settings)

    @property
    def of_method(self) -> list[str]:
        """Names of the settings that the trainer's method of the command's name takes."""
        parameters = set(inspect.signature(getattr(Trainer, self.command)).parameters)
        return sorted((parameters - GIVEN_BY_US[self.command]) & set(self.settings.keys()))

    @property
    def given_of_model(self) -> frozenset[str]:
        """Names of the parameters of ContrastEnhancer that were given, such as optimizer.lr."""
        prefix = "model."
        return frozenset(n.removeprefix(prefix) for n in self.given if n.startswith(prefix))

    def changed(self, flags: Mapping[str, Any]) -> "ParsedFlags":
        """Return the same flags with some values changed; nothing is read from files again.

        Args:
            flags: Dotted name without dashes -> value.

        Raises:
            UsageError: A name or a value is wrong.
        """
        with usage_errors(self.command):
            settings = self.parser.parse_object(dict(flags), self.settings.clone())
        return replace(self, settings=settings)

    def module(self) -> ContrastEnhancer:
        """Return a new module; nothing else of the run is made."""
        module: ContrastEnhancer = self._only("model")
        return module

    def data(self) -> RadiographDataModule:
        """Return a new data module; nothing else of the run is made."""
        data: RadiographDataModule = self._only("data")
        return data

    def _only(self, part: str) -> Any:
        with usage_errors(self.command), _values_that_fit():
            only = Namespace(**{part: self.settings[part]})  # type: ignore[no-untyped-call]
            return self.parser.instantiate(only)[part]

    def instantiate(self) -> Namespace:
        """Return the settings with module, data and callbacks made; the trainer's stay arguments.

        Its loggers are not made, as they want to know which run they log.

        Raises:
            UsageError: Something cannot be made of its values.
        """
        settings = self.settings.clone()
        settings.trainer.logger = None
        with usage_errors(self.command), _values_that_fit():
            made: Namespace = self.parser.instantiate(settings)
        return made


def parse_flags(command: str, typed: Sequence[str]) -> ParsedFlags:
    """Return the flags of a command with their values.

    Args:
        command: One of GIVEN_BY_US.
        typed: The flags as they are typed, with recipes as paths.

    Raises:
        UsageError: A flag or a key is unknown or has a wrong value, or the checkpoint is not there.
    """
    trusted = TRUST in typed
    words = _with_folders_left_open([word for word in typed if word != TRUST])
    limit_imports(trusted=trusted)
    with usage_errors(command), _values_that_fit():
        parser = parser_for(command)
        prints = [flag for flag in words if flag.startswith("--print_config")]
        silent = [flag for flag in words if flag not in prints]
        settings = parser.parse_args(silent)
        _refuse_missing_groups(settings)
        if not trusted:
            refuse_what_acts(settings)
        checkpoint = _checkpoint_of(command, settings)
        given, made_with = frozenset[str](), dict[str, str]()
        if checkpoint is not None:
            given = _given(parser, silent)
            opened = Checkpoint.open(checkpoint)
            coarse = {"model.coarse": checkpoint} if opened.coarse is not None else {}
            fold = _fold_of(command, opened, settings)
            parser.set_defaults(opened.flags | coarse | fold)
            made_with = opened.made_with
        if checkpoint is not None or prints:
            settings = parser.parse_args(words)
    if checkpoint is not None:
        settings.ckpt_path = str(checkpoint)
    choose_strategy(settings.trainer)
    return ParsedFlags(command, tuple(typed), settings, checkpoint, parser, given, made_with)


def _with_folders_left_open(words: Sequence[str]) -> list[str]:
    """Return flags in which loggers of files need no folder: they write into the run's."""
    found, before = [], ""
    for word in words:
        flag, equals, value = word.partition("=")
        name, value = (flag, value) if equals else (before, word)
        found.append(word)
        if name.rstrip("+") == LOGGER and value.rpartition(".")[2] in IN_FOLDERS:
            found.append(f"{LOGGER}.save_dir=")
        before = word
    return found


def parser_for(command: str) -> LightningArgumentParser:
    """Return the parser of a command; its help is `flags.help`.

    Args:
        command: One of GIVEN_BY_US.
    """
    parser = _Parser(
        prog=f"radenhance {command}",
        exit_on_error=False,
        dump_header=[f"lightning.pytorch=={lightning.pytorch.__version__}"],
    )
    parser.add_argument("-c", "--config", action=_Recipe, help=CONFIG)
    parser.add_argument("--seed_everything", type=bool | int, default=0, help=SEED)
    parser.add_argument("--ckpt_path", type=str | Path | None, default=None, help=CKPT_PATH)
    parser.add_argument("--weights_only", type=bool | None, default=None, help=WEIGHTS_ONLY)
    parser.add_argument("--run_name", type=str | None, default=None, help=RUN_NAME)
    parser.add_argument("--quiet", action="store_true", help=QUIET)
    parser.add_argument("--log-json", action="store_true", help=LOG_JSON)
    parser.add_lightning_class_args(ContrastEnhancer, "model")
    parser.add_lightning_class_args(RadiographDataModule, "data")
    parser.add_method_arguments(Trainer, command, skip={*GIVEN_BY_US[command], *HELPED_BY_US})
    parser.add_lightning_class_args(ModelCheckpoint, "best_checkpoint")
    parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
    parser.add_lightning_class_args(WeightAverage, "weight_average")
    parser.add_lightning_class_args(LearningRateMonitor, "lr_monitor")
    parser.add_lightning_class_args(MemoryProfiler, "memory_profiler")
    parser.add_lightning_class_args(PredictionWriter, "output")
    parser.add_lightning_class_args(Trainer, "trainer")
    for former, name in FORMER_FLAGS.items():
        add_former_name(parser, former, name)
    parser.set_defaults(DEFAULTS)
    parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
    return parser


class _Recipe(ActionConfigFile):
    """Reads a recipe, however its flag is spelled, after a look at it."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
        check_recipe(Path(values))
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


class _Parser(LightningArgumentParser):
    """Lightning's, for which a class is never the name of a file or an address to read."""

    def add_class_arguments(self, *args: Any, **options: Any) -> list[str]:
        added: list[str] = super().add_class_arguments(*args, **options | {"sub_configs": False})
        return added


@contextmanager
def usage_errors(command: str) -> Iterator[None]:
    """Turn what jsonargparse and Lightning raise at a wrong flag into a UsageError."""
    try:
        yield
    except ArgumentError as error:
        what = " ".join(str(error).split())
        if denied := denied_import(what):
            raise UsageError(f"{denied} is none of the classes known here; {REMEDY}") from error
        what = one_line(shortened(what), 1000)
        raise UsageError(f"{what} (radenhance {command} --help lists all flags)") from error
    except MisconfigurationException as error:
        raise UsageError(str(error)) from error


@contextmanager
def _values_that_fit() -> Iterator[None]:
    """Turn what a class raises at a value that its types let pass, such as null, into an error."""
    try:
        yield
    except RadenhanceError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"a flag has a value that does not fit: {one_line(error)}") from error


def _given(parser: LightningArgumentParser, words: Sequence[str]) -> frozenset[str]:
    """Return the names of the flags that were typed or are in a config file."""
    linked = Namespace(seed_everything=0)  # type: ignore[no-untyped-call]
    settings = parser.parse_args(words, namespace=linked, defaults=False)
    return frozenset(name.replace(".init_args.", ".") for name in vars(settings.as_flat()))


def _refuse_missing_groups(settings: Namespace) -> None:
    for section in SECTIONS:
        group = settings.get(section.prefix)
        if not isinstance(group, Namespace):
            raise UsageError(f"--{section.prefix} is {one_line(repr(group))}, expected flags")


def _checkpoint_of(command: str, settings: Namespace) -> Path | None:
    name = settings.ckpt_path or (None if command == "fit" else "best")
    if name is None:
        return None
    return find_checkpoint(name, _root_of(settings))


def _fold_of(command: str, checkpoint: Checkpoint, settings: Namespace) -> dict[str, Any]:
    """Return the flags of a checkpoint's fold for commands that need its split."""
    fold: Mapping[str, Any] | None = None
    if command == "fit" and checkpoint.fold is not None:
        fold = checkpoint.fold
    elif command == "validate":
        fold = same_fold(settings.data.root or DEFAULT_ROOT, checkpoint.fold)
    return {f"data.{name}": fold[name] for name in FOLD_PARAMETERS} if fold else {}


def _root_of(settings: Namespace) -> Path:
    return Path(settings.trainer.default_root_dir or ".")
