"""What a run says of itself: the flags that runs are compared by, and its command line."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from radenhance.flags.recipes import recipes
from radenhance.memory.techniques import MemoryTechniques

COMPARED = (
    "model.encoder",
    "model.num_scales",
    "model.optimizer.class_path",
    "model.optimizer.init_args.lr",
    "trainer.precision",
    "trainer.strategy",
    "trainer.accumulate_grad_batches",
    "trainer.max_epochs",
    "data.image_size",
    "data.batch_size",
    "data.num_folds",
    "data.fold",
)
TECHNIQUES = "model.memory."

FOLDERS = (
    "data.root",
    "data.cache",
    "data.predict_from",
    "output.folder",
    "model.encoder_weights",
    "model.weights",
    "model.int8",
    "model.coarse",
    "trainer.default_root_dir",
    "best_checkpoint.dirpath",
    "ckpt_path",
    "run_name",
)
"""Flags with files and folders, which may be named after a patient or a clinic."""

LEFT_OUT = "(left out; name it again)"
"""What stands for a file or a folder where a run says of itself what it was."""

NOT_NEEDED = {
    "trainer.default_root_dir": None,
    "best_checkpoint.dirpath": None,
    "run_name": None,
    "data.cache": True,
}
"""Folders that a run does as well without, and what their flags are then."""

_WORDS = ("last", "best", "true", "false", "null", "imagenet")
_CURVE = re.compile(r"[a-z]+/[\w./]+")


def compared_flags(settings: Namespace) -> dict[str, Any]:
    """Return what tells one run from another: the recipes, techniques, network and data.

    Args:
        settings: All flags of `fit`.
    """
    names = [Path(str(path)).stem for path in settings.get("config") or []]
    flags = vars(settings.as_flat())
    flags["trainer.precision"] = flags["trainer.precision"] or "32-true"  # Lightning's default
    techniques = {
        name.removeprefix(TECHNIQUES): value
        for name, value in flags.items()
        if name.startswith(TECHNIQUES)
    }
    plain = vars(MemoryTechniques())
    chosen = [f"{name} {value}" for name, value in techniques.items() if value != plain.get(name)]
    return {
        "recipe": " ".join(names) or "none",
        "techniques": ", ".join(chosen) or "none",
        **{name: flags[name] for name in COMPARED if flags.get(name) is not None},
        **{
            f"memory.{name}": "none" if value is None else value
            for name, value in techniques.items()
        },
    }


def typed(arguments: Sequence[str], *, names: bool = False) -> str:
    """Return the command line as it was typed, with recipes by their names.

    Args:
        arguments: The first is the command.
        names: Whether files and folders are shown.
    """
    shipped = {str(path): name for name, path in recipes().items()}
    words = ["radenhance"]
    flag = ""
    for argument in arguments:
        if argument.startswith("-"):
            flag, equals, value = argument.partition("=")
            start = flag + equals
        else:
            start, value = "", argument
        shown = shipped.get(value, value)
        if not names and _is_place(flag.lstrip("-"), shown):
            shown = "..."
        words.append(start + shown)
    return shlex.join(words)


def without_places(settings: Namespace, defaults: Namespace) -> Namespace:
    """Return the settings of a run without the files and folders that its user named.

    Args:
        settings: All flags of a command.
        defaults: Their values where nothing was given, which say nothing of the user.
    """
    kept = settings.clone()
    for name, value in vars(settings.as_flat()).items():
        if value != defaults.get(name):
            kept[name] = NOT_NEEDED.get(name, LEFT_OUT) if _is_place(name, value) else _in(value)
    return kept


def _in(value: Any) -> Any:
    """Return what a list or a dictionary of settings holds, without places."""
    if isinstance(value, Namespace):
        entries = {key: _in(entry) for key, entry in vars(value).items()}
        return Namespace(**entries)  # type: ignore[no-untyped-call]
    if isinstance(value, dict):
        return {key: _in(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_in(entry) for entry in value]
    return LEFT_OUT if _is_place("", value) else value


def _is_place(name: str, value: object) -> bool:
    """Return whether a flag's value is, or holds, a file or a folder of the user."""
    if isinstance(value, os.PathLike):
        return True
    if not isinstance(value, str) or value in _WORDS:
        return False
    if name in FOLDERS or "{" in value:  # which is JSON, of any flags
        return bool(value)
    return os.sep in value and not (_CURVE.fullmatch(value) and not os.path.exists(value))
