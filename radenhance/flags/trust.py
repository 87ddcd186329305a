"""What a recipe may name, which may come from a stranger: known classes, and nothing that acts.

A `class_path` is imported and called with arguments of the recipe's choice, so that it could run
anything. Only the packages of KNOWN are imported, before which jsonargparse looks at the path, and
at where the object is defined after; of these, only classes of KINDS are made. What flags say is
held to the same: where a value came from is not known any more when it is read.
"""

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from jsonargparse import Namespace, set_parsing_settings
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch import Callback
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from radenhance.errors import UsageError
from radenhance.foreign_text import one_line

TRUST = "--trust-recipe"

REMEDY = (
    f"leave it out, or add {TRUST} if you know who wrote the recipe and would run their programs"
)

KNOWN = (
    "torch.optim",
    "lightning.Callback",
    "lightning.pytorch.accelerators",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.cli.ReduceLROnPlateau",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.csv_logs",
    "lightning.pytorch.loggers.tensorboard",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lightning.fabric.plugins",
    "radenhance.EncoderDecoderStrategy",
    "radenhance.FullyShardedStrategy",
    "radenhance.MemoryProfiler",
    "radenhance.RowsStrategy",
    "radenhance.callbacks",
    "radenhance.checkpoint.WholeFileCheckpointIO",
    "radenhance.strategies",
)
"""Packages, modules and classes that a recipe may name; other loggers send to a host."""

KINDS = (
    Optimizer,
    LRScheduler,
    Callback,
    Logger,
    Strategy,
    Accelerator,
    Profiler,
    Precision,
    CheckpointIO,
    ClusterEnvironment,
    LayerSync,
)
"""Base classes of all that a recipe may have made."""

_DENIED = re.compile(r"Importing '([^']+)' is not allowed")


def limit_imports(*, trusted: bool) -> None:
    """Let flags and recipes that are parsed in this process import KNOWN alone.

    Args:
        trusted: Whether they may import every package instead, but for those that jsonargparse
            denies by default, such as os. Limits that this process has stay.
    """
    if trusted:
        set_parsing_settings(import_path_denylist=[])
    else:
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*KNOWN])


def denied_import(message: str) -> str | None:
    """Return the path that an error of the parser says may not be imported, if it says that."""
    found = _DENIED.search(message)
    return found[1] if found else None


def refuse_what_acts(settings: Namespace) -> None:
    """Raise UsageError where a value is a function, another class than of KINDS, or an address.

    Args:
        settings: All flags, parsed and not made.
    """
    for name, value in _values(settings, ""):
        if isinstance(value, str) and "://" in value:
            what = f"{one_line(value)!r}, an address"
        elif name.endswith("class_path") and not _is_known(value):
            what = f"{one_line(value)}, which is no class of a kind that is made here"
        elif callable(value) and not isinstance(value, os.PathLike):
            what = f"{getattr(value, '__qualname__', type(value).__name__)}, which is called"
        else:
            continue
        raise UsageError(f"{name.removesuffix('.class_path')} is {what}; {REMEDY}")


def _is_known(class_path: object) -> bool:
    module, _, name = str(class_path).rpartition(".")
    found = getattr(sys.modules.get(module), name, None)  # what was parsed is imported already
    return isinstance(found, type) and issubclass(found, KINDS)


def _values(settings: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of settings with their dotted names."""
    if isinstance(settings, Namespace):
        settings = vars(settings)
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield name, key
            yield from _values(value, f"{name}.{key}".lstrip("."))
    elif isinstance(settings, list | tuple | set):
        for value in settings:
            yield from _values(value, name)
    else:
        yield name, settings
