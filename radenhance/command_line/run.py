"""`radenhance fit`, `validate`, `test` and `predict`: what their flags describe, run.

A fit asks the planner twice, where to cut a network that two devices share and whether the GPU has
room, and a third time when it had none. A plan is advice: where there is none, the run goes on.
"""

import json
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning.pytorch.utilities.seed import isolate_rng

from radenhance.callbacks.dashboard import Dashboard
from radenhance.callbacks.last_checkpoint import HangUpException
from radenhance.callbacks.memory_profiler import MemoryProfiler, Planned
from radenhance.callbacks.prediction_writer import PredictionWriter
from radenhance.callbacks.run_folder import RunFolder
from radenhance.command_line.loggers import finish
from radenhance.command_line.measures import measures_table
from radenhance.command_line.run_summary import summary
from radenhance.command_line.trainer import make_trainer
from radenhance.command_line.wording import log_in_flags
from radenhance.compat.lightning import callbacks_of, is_restoring
from radenhance.compat.torch import hush_unmade_loaders
from radenhance.console import guard_logs, hush_libraries, say
from radenhance.datamodule import SPLITS_OF
from radenhance.errors import GpuMemoryError, RadenhanceError, UsageError
from radenhance.flags.parser import ParsedFlags, parse_flags, usage_errors
from radenhance.flags.resumed import kept_flags, say_differences
from radenhance.planning.advice import out_of_memory, plan_and_warning, planned_phases
from radenhance.planning.pipeline import best_cut, strategy_of
from radenhance.planning.planned_run import PlannedRun
from radenhance.prepare.passed_over import listed, refuse_failures
from radenhance.strategies.encoder_decoder.options import AUTO_CUT, FIRST_DECODER_STAGE

HOW_COUNTED = "Cases count the files by name; --data.log_names=true names them."

VERBOSE = "verbose"
"""Argument of validate and test: whether to print what was measured."""


def main(arguments: Sequence[str]) -> None:
    """Run one of the four commands; `arguments` begins with its name.

    Raises:
        UsageError: A flag or a key is unknown or has a wrong value, or two do not go together.
        RadenhanceError: What the command itself found wrong.
    """
    hush_libraries()
    guard_logs()  # Lightning has set up its log by now
    hush_unmade_loaders()
    log_in_flags()
    command, *typed = arguments
    flags = parse_flags(command, typed)
    with usage_errors(command), ended_in_a_sentence(), quieted(flags.settings.quiet):
        run(flags)


@contextmanager
def quieted(is_wanted: bool) -> Iterator[None]:
    """Leave warnings and errors alone of what Lightning logs, if that is wanted."""
    libraries = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [library.level for library in libraries]
    if is_wanted:
        for library in libraries:
            library.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.setLevel(level)


def run(flags: ParsedFlags) -> None:
    """Make what flags describe, and do with it what their command says."""
    seed(flags)
    choose_cut(flags)
    if flags.command == "fit" and flags.checkpoint is not None:
        say_differences(flags)
    made = flags.instantiate()
    if flags.command == "fit":
        made.model.note_flags(kept_flags(flags.settings), flags.given_of_model)
    trainer = make_trainer(flags, made)
    if flags.command == "fit":
        warn_of_memory(flags, trainer)
        take_plan(flags, trainer)
    method = getattr(trainer, flags.command)
    options = {name: made[name] for name in flags.of_method}
    is_wanted = options.get(VERBOSE)
    if is_wanted is not None:
        options[VERBOSE] = False  # Lightning's table has names, and no words
    with memory_errors(flags), restored_or_refused(flags, trainer):
        measured = method(made.model, datamodule=made.data, **options)
    finish(trainer.loggers)
    if flags.command == "predict" and trainer.is_global_zero:
        refuse_passed_over(trainer)
    if is_wanted and trainer.is_global_zero:
        for measures in measured:
            say(measures_table(measures, SPLITS_OF[flags.command][0]))
    if flags.command == "fit" and trainer.is_global_zero and not flags.settings.quiet:
        say_summary(flags, trainer)


def refuse_passed_over(trainer: Trainer) -> None:
    """List the radiographs that a prediction passed over.

    Raises:
        BatchError: There are some; all others are enhanced.
    """
    for callback in callbacks_of(trainer):
        if isinstance(callback, PredictionWriter) and callback.failures:
            say("\n".join([*listed(callback.failures), HOW_COUNTED]))
            refuse_failures(callback.failures, num_done=callback.num_written, done="enhanced")


def say_summary(flags: ParsedFlags, trainer: Trainer) -> None:
    """Print what a fit came to, where it is, and what to do next."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, RunFolder) and callback.folder is not None:
            report = callback.report
            if flags.settings.log_json:
                say(json.dumps(report))
            else:
                say(summary(report, callback.folder, flags.settings.data.root))


def seed(flags: ParsedFlags) -> None:
    """Seed all random numbers, and note the seed where it was to be chosen.

    Raises:
        UsageError: It is no seed.
    """
    wanted = flags.settings.seed_everything
    if wanted is False:
        return
    try:
        chosen = seed_everything(None if wanted is True else wanted, workers=True)
    except ValueError as error:
        raise UsageError(f"--seed_everything: {error}") from error
    flags.settings.seed_everything = chosen


def choose_cut(flags: ParsedFlags) -> None:
    """Put the best stage in place of `auto`, where two devices share the network."""
    options = getattr(flags.settings.trainer.strategy, "init_args", {})
    if options.get("cut") != AUTO_CUT:
        return
    options["cut"] = FIRST_DECODER_STAGE
    if flags.command != "fit":
        return
    planned = PlannedRun(flags)
    strategy = strategy_of(planned)
    assert strategy is not None
    with isolate_rng():  # what trains afterwards is seeded already
        options["cut"] = best_cut(planned, strategy, planned.image_size)
    rank_zero_info(f"--trainer.strategy.cut auto is {options['cut']}")


def warn_of_memory(flags: ParsedFlags, trainer: Trainer) -> None:
    """Say before the first step when the GPU has no room for it, and put the plan on the card."""
    device = trainer.strategy.root_device
    if device.type != "cuda" or not trainer.is_global_zero:
        return
    free, total = torch.cuda.mem_get_info(device)
    with isolate_rng():
        text, warning = plan_and_warning(PlannedRun(flags), free, total)
    for callback in callbacks_of(trainer):
        if isinstance(callback, Dashboard):
            callback.plan = f"```\n{text}\n```"
    if warning is not None:
        rank_zero_warn(warning)


def take_plan(flags: ParsedFlags, trainer: Trainer) -> None:
    """Give the memory figures of a fit without a GPU what its step would take on one.

    One process plans once its run has a folder. Of several, rank 0 plans before they meet: a plan
    of two devices has a process group of its own.
    """
    if flags.settings.trainer.fast_dev_run or not trainer.is_global_zero:
        return
    if trainer.strategy.root_device.type == "cuda":
        return

    @isolate_rng()
    def planner() -> Planned:
        return planned_phases(PlannedRun(flags))

    for callback in callbacks_of(trainer):
        if isinstance(callback, MemoryProfiler) and callback.plan:
            if trainer.world_size > 1:
                callback.planned = planner()
            else:
                callback.planner = planner


@contextmanager
def memory_errors(flags: ParsedFlags) -> Iterator[None]:
    """Turn a GPU that ran out of memory into advice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        if flags.command != "fit":
            raise GpuMemoryError(
                "the GPU ran out of memory; add --model.memory.band_rows=auto, or "
                "--trainer.precision=16-mixed, or take smaller images (--data.image_size)"
            ) from error
        limit = None
        if torch.cuda.is_available():
            free, _ = torch.cuda.mem_get_info()
            limit = free + torch.cuda.memory_reserved()
        raise out_of_memory(PlannedRun(flags), limit) from error


@contextmanager
def restored_or_refused(flags: ParsedFlags, trainer: Trainer) -> Iterator[None]:
    """Turn what the parts of a run raise at a wrong state in a checkpoint into a UsageError."""
    try:
        yield
    except (torch.OutOfMemoryError, MisconfigurationException):
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, RadenhanceError) or not is_restoring(trainer):
            raise
        raise UsageError(
            f"{flags.checkpoint} cannot be resumed from: what it holds beside weights is damaged, "
            f"or of another kind of run; give another checkpoint"
        ) from error


@contextmanager
def ended_in_a_sentence() -> Iterator[None]:
    """Turn how Lightning ends a run that goes wrong into a UsageError, or an exit code."""
    try:
        yield
    except RuntimeError as error:
        if "Early stopping conditioned on metric" not in str(error):
            raise
        raise UsageError(str(error)) from error
    except HangUpException:
        sys.exit(128 + signal.SIGHUP)
    except SIGTERMException:
        sys.exit(128 + signal.SIGTERM)
    except SystemExit as ended:  # with 1, as a defect would, where Lightning met Ctrl-C
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from ended
        raise
