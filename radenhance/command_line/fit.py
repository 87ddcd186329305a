"""LightningCLI as `radenhance fit | validate | test | predict`."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning.pytorch.utilities.seed import isolate_rng
from typing_extensions import override

from radenhance import metric_names
from radenhance.callbacks.dashboard import Dashboard
from radenhance.callbacks.last_checkpoint import LastCheckpoint
from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.callbacks.prediction_writer import PredictionWriter
from radenhance.callbacks.previews import Previews
from radenhance.callbacks.stopwatch import Stopwatch
from radenhance.callbacks.whole_files import WholeFileCheckpointIO
from radenhance.datamodule import RadiographDataModule
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import GpuMemoryError, UsageError
from radenhance.flags.compared import compared_flags, typed
from radenhance.runs import LOGS, find_checkpoint, version_of
from radenhance.strategies.encoder_decoder.options import AUTO_CUT, FIRST_DECODER_STAGE
from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy
from radenhance.strategies.sharded import FULLY_SHARDED

TRAINER_DEFAULTS = {"max_epochs": 50, "log_every_n_steps": 10}
BEST_CHECKPOINT = {
    "best_checkpoint.monitor": metric_names.VAL_LOSS,
    "best_checkpoint.filename": "best",
    "best_checkpoint.enable_version_counter": False,
}


def main(arguments: Sequence[str]) -> None:
    """Run one of LightningCLI's commands; `arguments` begins with its name.

    Raises:
        UsageError: A flag or a key is unknown or has a wrong value, or two do not go together.
        RadenhanceError: What the command itself found wrong.
    """
    hush()
    with told_in_one_sentence(arguments[0]):
        EnhancerCLI(list(arguments))


@contextmanager
def told_in_one_sentence(command: str) -> Iterator[None]:
    """Turn what jsonargparse and Lightning raise at a user's mistake into a UsageError."""
    try:
        yield
    except ArgumentError as error:
        what = " ".join(str(error).split())
        raise UsageError(f"{what} (radenhance {command} --help lists all flags)") from error
    except MisconfigurationException as error:
        raise UsageError(str(error)) from error
    except RuntimeError as error:
        if "Early stopping conditioned on metric" not in str(error):
            raise
        raise UsageError(str(error)) from error
    except SIGTERMException:
        sys.exit(128 + signal.SIGTERM)


STRATEGIES = {
    "fsdp": FULLY_SHARDED,  # Lightning's needs a GPU, and writes other checkpoints
    # a path without further flags stays a word, which Lightning would not know
    "radenhance.strategies.EncoderDecoderStrategy": EncoderDecoderStrategy.strategy_name,
    "radenhance.strategies.FullyShardedStrategy": FULLY_SHARDED,
}
"""What is meant by other names of a strategy."""

UNWANTED = (
    "litlogger",  # an advertisement
    "weights_only` was not set",  # at every checkpoint
)


def hush() -> None:
    """Leave out of Lightning's log what no user can do anything about."""

    def wanted(record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in UNWANTED)

    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(wanted)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # LightningCLI uses names that jsonargparse is about to rename
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


class EnhancerCLI(LightningCLI):
    """LightningCLI for ContrastEnhancer and RadiographDataModule.

    It differs in what a checkpoint means: its hyperparameters are defaults, below every config file
    and flag, never above them; `last` and `best` are those of the newest run; and a run resumed
    from `last` goes on in the same folder.
    """

    def __init__(self, args: ArgsType, *, run: bool = True) -> None:
        self._checkpoint: Path | None = None
        self._arguments = args if isinstance(args, list) else []
        super().__init__(
            ContrastEnhancer,
            RadiographDataModule,
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"exit_on_error": False, **_for_each_command(exit_on_error=False)},
            auto_configure_optimizers=False,
            args=args,
            run=run,
        )

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that every run has, each with its flags, and one seed for all."""
        parser.add_lightning_class_args(ModelCheckpoint, "best_checkpoint")
        parser.set_defaults(BEST_CHECKPOINT)
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        parser.add_lightning_class_args(LearningRateMonitor, "lr_monitor")
        parser.add_lightning_class_args(MemoryProfiler, "memory_profiler")
        parser.add_lightning_class_args(PredictionWriter, "output")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse twice where a checkpoint is named: the second time its values are the defaults."""
        assert isinstance(args, list)
        asks = [argument for argument in args if argument.startswith("--print_config")]
        self.config = parser.parse_args([argument for argument in args if argument not in asks])
        command = self.config.get("subcommand")
        if command is None:
            return
        name = self.config[command].get("ckpt_path") or (None if command == "fit" else "best")
        if name is not None:
            self._checkpoint = find_checkpoint(name, self._root(self.config[command]))
            self._subcommand_parsers[command].set_defaults(flags_of(self._checkpoint))
        if name is not None or asks:
            self.config = parser.parse_args(args)
        if self._checkpoint is not None:
            self.config[command].ckpt_path = str(self._checkpoint)

    @override
    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise UsageError(f"--seed_everything: {error}") from error

    @override
    def before_instantiate_classes(self) -> None:
        """Choose the strategy of two nodes with one device each where none is named."""
        trainer = self._get(self.config, "trainer")
        if isinstance(trainer.strategy, str):
            trainer.strategy = STRATEGIES.get(trainer.strategy, trainer.strategy)
        if trainer.strategy == "auto" and trainer.num_nodes == 2 and _has_one_device(trainer):
            trainer.strategy = EncoderDecoderStrategy.strategy_name
        options = getattr(trainer.strategy, "init_args", {})
        if options.get("cut") == AUTO_CUT:
            options["cut"] = self._best_cut()

    def _best_cut(self) -> str:
        """Return the cut of encoder_decoder with which the fuller GPU needs least in training."""
        if self.subcommand != "fit":
            return FIRST_DECODER_STAGE
        from radenhance.planning.pipeline import best_cut, strategy_of
        from radenhance.planning.planned_run import PlannedRun

        run = PlannedRun(self._arguments[1:])
        strategy = strategy_of(run)
        assert strategy is not None
        with isolate_rng():  # what trains afterwards is seeded already
            cut = best_cut(run, strategy, run.image_size)
        rank_zero_info(f"--trainer.strategy.cut auto is {cut}")
        return cut

    @override
    def _parse_ckpt_path(self) -> None:
        """Leave the config alone: `parse_arguments` has given the checkpoint its place."""

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to the folder of the run that goes on, and leave out callbacks that cannot run."""
        if self._get(self.config_init, "trainer")["logger"] in (None, True):
            kwargs["logger"] = self._tensorboard()
        try:
            return super().instantiate_trainer(**kwargs)
        except ValueError as error:  # Lightning's word for a flag of the trainer that is wrong
            raise UsageError(str(error)) from error

    @override
    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        unwanted: list[type[Callback]] = []
        if config["logger"] is False:
            unwanted.append(LearningRateMonitor)
        if config["enable_checkpointing"] is False:
            unwanted += [ModelCheckpoint, LastCheckpoint]
        if not config.get("plugins"):
            config["plugins"] = [WholeFileCheckpointIO()]
        wanted = [callback for callback in callbacks if not isinstance(callback, tuple(unwanted))]
        if self.subcommand == "fit":
            settings = self.config["fit"]
            dashboard = Dashboard(compared_flags(settings), typed(self._arguments))
            wanted += [Stopwatch(), Previews(), dashboard]
        return super()._instantiate_trainer(config, wanted)

    def before_fit(self) -> None:
        """Say before the first step when the GPU has no room for it."""
        device = self.trainer.strategy.root_device
        if device.type != "cuda" or not self.trainer.is_global_zero:
            return
        from radenhance.planning.advice import plan_and_warning
        from radenhance.planning.planned_run import PlannedRun

        free, total = torch.cuda.mem_get_info(device)
        with isolate_rng():
            text, unwelcome = plan_and_warning(PlannedRun(self._arguments[1:]), free, total)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Dashboard):
                callback.plan = f"```\n{text}\n```"
        if unwelcome is not None:
            rank_zero_warn(unwelcome)

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except torch.OutOfMemoryError as error:
            if subcommand != "fit":
                raise GpuMemoryError(
                    "the GPU ran out of memory; add --model.memory.band_rows=auto, or "
                    "--trainer.precision=16-mixed, or take smaller images (--data.image_size)"
                ) from error
            from radenhance.planning.advice import out_of_memory
            from radenhance.planning.planned_run import PlannedRun

            limit = None
            if torch.cuda.is_available():
                free, _ = torch.cuda.mem_get_info()
                limit = free + torch.cuda.memory_reserved()
            raise out_of_memory(PlannedRun(self._arguments[1:]), limit) from error

    def _tensorboard(self) -> TensorBoardLogger:
        settings = self.config[self.subcommand] if self.subcommand else self.config
        resumes = self.subcommand == "fit" and self._checkpoint is not None
        version = None
        if resumes and self._checkpoint is not None and self._checkpoint.name == "last.ckpt":
            version = version_of(self._checkpoint)
        return TensorBoardLogger(
            self._root(settings), name=LOGS, version=version, default_hp_metric=False
        )

    @staticmethod
    def _root(settings: Namespace) -> Path:
        return Path(settings.trainer.default_root_dir or ".")


def flags_of(checkpoint: Path) -> dict[str, Any]:
    """Return the flags that a checkpoint was made with: of the network, and of its input.

    Raises:
        UsageError: The file is not a checkpoint of ours.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        model, data = content["hyper_parameters"], content["datamodule_hyper_parameters"]
        of_model = {f"model.{key}": model[key] for key in ("encoder", "num_scales")}
        of_model["model.memory.momentum"] = model["momentum"]
        of_model["model.memory.quantization"] = model.get("quantization", "none")
        return of_model | {f"data.{key}": data[key] for key in ("image_size", "window")}
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"--ckpt_path {checkpoint} is not a checkpoint of radenhance ({reason})"
        ) from error


def _has_one_device(trainer: Namespace) -> bool:
    if trainer.devices != "auto":
        return trainer.devices in (1, "1") or (
            isinstance(trainer.devices, list) and len(trainer.devices) == 1
        )
    return trainer.accelerator == "cpu" or torch.cuda.device_count() <= 1


def _for_each_command(**options: Any) -> dict[str, Any]:
    return {command: dict(options) for command in LightningCLI.subcommands()}
