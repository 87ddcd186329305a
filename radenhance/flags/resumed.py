"""The flags of a run that its checkpoints keep, and those that differ when it goes on.

A flag takes effect on what is made of it, whatever the checkpoint's run had; but a batch size that
was forgotten goes unseen for days. So a run that resumes says once what differs. Options of the
optimizer, of its schedule and of callbacks are state, and `resumed_flags` sees to them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info

from radenhance.compat.lightning import unified_precision
from radenhance.errors import UsageError
from radenhance.flags.parser import ParsedFlags
from radenhance.foreign_text import one_line

SEEN_TO_ELSEWHERE = (
    "model.optimizer",
    "model.lr_scheduler",
    "model.warmup_steps",
    "model.coarse",
    "model.int8",
    "data.root",
    "data.seed",
)
"""Flags, and beginnings of flags, that are state, or compared by what they are of."""

OF_NO_RUN = (
    *("config", "ckpt_path", "weights_only", "run_name", "quiet", "log_json"),
    *("model.extend", "data.cache", "data.num_workers", "data.predict_from", "data.log_names"),
    *("best_checkpoint.dirpath", "best_checkpoint.filename", "best_checkpoint.verbose"),
    *("lr_monitor", "memory_profiler", "output", "trainer.accelerator", "trainer.barebones"),
    *("trainer.callbacks", "trainer.default_root_dir", "trainer.detect_anomaly"),
    *("trainer.enable_autolog_hparams", "trainer.enable_model_summary"),
    *("trainer.enable_progress_bar", "trainer.fast_dev_run", "trainer.limit_predict_batches"),
    *("trainer.limit_test_batches", "trainer.log_every_n_steps", "trainer.logger"),
    *("trainer.model_registry", "trainer.num_sanity_val_steps", "trainer.plugins"),
    *("trainer.profiler", "trainer.strategy"),
)
"""Flags, and beginnings of flags, of where things lie, what is shown, and what is no training."""

PRECISION = "trainer.precision"
OUTSIDE = "data.outside_field"

WEIGHTS = ("model.weights", "model.encoder_weights")
"""Flags of what a run begins with and never reads again: a hash of it is kept."""

REFUSED = ("model.encoder", "model.output")
"""Flags that cannot be others within a run."""


def kept_flags(settings: Namespace) -> dict[str, str]:
    """Return the flags that a checkpoint keeps, as texts: no folder, and no name.

    Args:
        settings: All flags of `fit`.
    """
    flags = {
        name: value
        for name, value in vars(settings.as_flat()).items()
        if not name.startswith((*SEEN_TO_ELSEWHERE, *OF_NO_RUN))
    }
    flags[PRECISION] = unified_precision(flags[PRECISION])
    return {name: _hash(one) if name in WEIGHTS else str(one) for name, one in flags.items()}


def _hash(weights: Any) -> str:
    """Return what tells weights from others, without their place."""
    if weights is None or not Path(weights).is_file():
        return str(weights)
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def say_differences(flags: ParsedFlags) -> None:
    """Say once what a run that resumes does otherwise than before.

    Args:
        flags: Of `fit`, with the checkpoint to go on from.

    Raises:
        UsageError: Something cannot be otherwise.
    """
    kept = kept_flags(flags.settings)
    _compare_weights(flags, kept)
    changed = {
        name: (one_line(before, 100), kept[name])
        for name, before in flags.made_with.items()
        if name in kept.keys() - {*WEIGHTS} and before != kept[name]
    }
    if kept[OUTSIDE] == "auto":  # the checkpoint has what that was found to be
        changed.pop(OUTSIDE, None)
    schedule = () if flags.settings.model.lr_scheduler is None else ("model.lr_interval",)
    for name in changed.keys() & {*REFUSED, *schedule}:
        before, now = changed[name]
        raise UsageError(
            f"the checkpoint was made with --{name} {before}, and this run has {now}; give the "
            f"checkpoint's"
        )
    if changed:
        said = [f"--{name} is {now}, and was {before}" for name, (before, now) in changed.items()]
        rank_zero_info(f"Other than in the checkpoint, from here on {'; '.join(said)}.")
    if "data.batch_size" in changed:
        rank_zero_info("Of an epoch that was cut, some images are left out or seen twice.")


def _compare_weights(flags: ParsedFlags, kept: Mapping[str, str]) -> None:
    for name in WEIGHTS:
        if flags.settings[name] is None:
            continue
        if name not in flags.made_with:
            rank_zero_info(f"--{name} is not read again: the run goes on from its own weights.")
        elif kept[name] != flags.made_with[name]:
            raise UsageError(
                f"--{name} {flags.settings[name]} is not what the run of the checkpoint began "
                f"with; leave it out to go on from the checkpoint's weights, or leave --ckpt_path "
                f"out to start anew"
            )
