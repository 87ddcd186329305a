"""What a run leaves in a checkpoint beside weights, and takes from one.

Lightning hands each part of a run what the checkpoint holds for it, and the parts believe it: a
ModelCheckpoint later removes the file of a path that it was handed, a scheduler takes every entry
for an attribute, and a learning rate that is a text comes to light in the middle of a step. What
is taken here has the form of what the run's own parts would save.

A checkpoint names the files beside it, not the folder that they lie in: the way to a run's folder
may be named after a patient, and a checkpoint is passed on.
"""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import Optimizer

from radenhance.checkpoint import OPTIMIZER_STATES
from radenhance.errors import UsageError

EPOCH_SUMS = "epoch_sums"
"""Key of a checkpoint: what the means of the epoch that runs are made of, see `sums_of`."""

CALLBACKS = "callbacks"
LOOPS = "loops"
SCHEDULERS = "lr_schedulers"

SCORES = "best_k_models"
FILES = ("best_model_path", "kth_best_model_path", "last_model_path")
"""Keys of what a ModelCheckpoint saves."""

PHASES = "_schedule_phases"
"""Where OneCycleLR has the course that it takes."""

OF_OTHER_SHAPES = ("Adafactor", "LBFGS", "Muon", "SparseAdam")
"""Optimizers of PyTorch that keep more than averages of the shape of each weight."""

NUMBERS = ("step", "eta", "mu", "mu_product")
"""What the other ones keep of a weight that is one number."""


def leave_out_folder(content: dict[str, Any]) -> None:
    """Leave of the files that a ModelCheckpoint counts as its own their names.

    Args:
        content: A checkpoint's content, which is changed; what the callbacks keep is not.
    """
    states = content.get(CALLBACKS, {})
    content[CALLBACKS] = {
        key: _without_folder(state) if isinstance(state, Mapping) and SCORES in state else state
        for key, state in states.items()
    }


def _without_folder(state: Mapping[str, Any]) -> dict[str, Any]:
    files = {name: os.path.basename(str(state[name])) for name in FILES if name in state}
    scores = {os.path.basename(str(path)): score for path, score in state[SCORES].items()}
    return {**state, **files, SCORES: scores, "dirpath": ""}


def keep_own_files(content: dict[str, Any], callbacks: Iterable[Callback]) -> None:
    """Leave of the files that callbacks count as theirs those in the folder that they write to.

    A run that goes on in another folder begins its own list.

    Args:
        content: A checkpoint's content, which is changed.
        callbacks: The run's callbacks, set up.
    """
    states = content.get(CALLBACKS)
    kept = dict(states) if isinstance(states, Mapping) else {}
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint):
            state = kept.pop(callback.state_key, None)
            if isinstance(state, Mapping) and callback.dirpath is not None:
                kept[callback.state_key] = _own(state, callback, Path(callback.dirpath))
    content[CALLBACKS] = kept


def _own(state: Mapping[str, Any], callback: ModelCheckpoint, folder: Path) -> dict[str, Any]:
    """Return a state of the same scores, whose paths are of files in a folder or empty."""

    def own(path: object) -> str:
        if not isinstance(path, str) or not path.endswith(".ckpt") or os.path.isdir(path):
            return ""
        named = os.path.join(folder, os.path.basename(path))
        if path == os.path.basename(path):
            return named if os.path.isfile(named) else ""
        return named if os.path.realpath(path) == os.path.realpath(named) else ""

    scores = state.get(SCORES)
    scores = scores if isinstance(scores, Mapping) else {}
    best = {own(path): score for path, score in scores.items() if own(path) and _is_number(score)}
    if 0 <= callback.save_top_k < len(best):  # fewer than before
        ranked = sorted(best, key=best.__getitem__, reverse=callback.mode == "max")
        best = {path: best[path] for path in ranked[: callback.save_top_k]}
    lowest, highest = (min, max) if callback.mode == "min" else (max, min)
    first = lowest(best, key=best.__getitem__, default=own(state.get("best_model_path")))
    last = highest(best, key=best.__getitem__, default="")
    current = state.get("current_score")
    return callback.state_dict() | {
        SCORES: best,
        "best_model_path": first,
        "best_model_score": best.get(first),
        "kth_best_model_path": last,
        "kth_value": best.get(last, callback.kth_value),
        "current_score": current if _is_number(current) else None,
        "last_model_path": own(state.get("last_model_path")),
    }


def sums_of(content: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return sums and counts of the epoch that a run resumes within, those that are numbers.

    Args:
        content: A checkpoint's content.
    """
    sums = content.get(EPOCH_SUMS)
    return {
        key: one
        for key, one in (sums.items() if isinstance(sums, Mapping) else ())
        if isinstance(one, list) and len(one) == 2 and all(map(_is_plain, one))
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def refuse_other_progress(content: Mapping[str, Any], fit_loop: Any) -> None:
    """Refuse counts of epochs, batches and steps that are none.

    Args:
        content: A checkpoint's content.
        fit_loop: The run's loop, from which the names of the counts are taken.

    Raises:
        UsageError: A count is not a number, or less than zero.
    """
    loops: Any = content.get(LOOPS)
    if not isinstance(loops, Mapping) or not _counts(loops.get("fit_loop"), fit_loop.state_dict()):
        raise UsageError(
            "the checkpoint does not say how far its training was, as a model package never does; "
            "give another checkpoint, or start anew from its weights (ContrastEnhancer.weights)"
        )


def _counts(value: Any, like: Any) -> bool:
    if isinstance(like, Mapping):
        return _agree(_counts, value, like)
    return not isinstance(like, int) or (isinstance(value, int) and value >= 0)


def _agree(rule: Callable[[Any, Any], bool], value: Any, like: Mapping[str, Any]) -> bool:
    """Return whether a value is a dict, and a rule holds for what both have by the same key."""
    return isinstance(value, Mapping) and all(
        rule(value[name], like[name]) for name in like.keys() & value.keys()
    )


def refuse_other_form(content: Mapping[str, Any], optimizer: Optimizer, scheduler: Any) -> None:
    """Refuse states of an optimizer and a scheduler that the run's own could not have saved.

    Args:
        content: A checkpoint's content.
        optimizer: The run's optimizer, of the class whose state is there.
        scheduler: Its scheduler.

    Raises:
        UsageError: A number, a group or an average is of another kind or shape.
    """
    states: Any = content.get(OPTIMIZER_STATES)
    schedules: Any = content.get(SCHEDULERS)
    groups = optimizer.state_dict()["param_groups"]
    # phases of a cycle have to be the same, see `resumed_flags`
    ours = {name: one for name, one in scheduler.state_dict().items() if name != PHASES}
    fits = (
        _has_form(states, [{"state": {}, "param_groups": groups}])
        and _has_form(schedules, [ours])
        and not any(callable(getattr(scheduler, str(name), None)) for name in schedules[0])
        and _has_averages_of(optimizer, states[0])
    )
    if not fits:
        raise UsageError(
            f"the checkpoint's state of {type(optimizer).__name__} or of its schedule is damaged, "
            f"or of another run; give another checkpoint"
        )


def _has_form(value: Any, like: Any) -> bool:
    """Return whether a value is of the kind of another, where both have something to compare."""
    if isinstance(like, Mapping):
        return _agree(_has_form, value, like)
    if isinstance(like, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(like)
            and all(map(_has_form, value, like))
        )
    if isinstance(like, str):
        return isinstance(value, str)
    return value is None or _is_number(value)


def _has_averages_of(optimizer: Optimizer, state: Mapping[str, Any]) -> bool:
    """Return whether what an optimizer keeps of each weight has the weight's shape, or is a number.

    Of optimizers that keep other things, and of those from elsewhere, nothing is known.
    """
    kind = type(optimizer)
    if not kind.__module__.startswith("torch.optim.") or kind.__name__ in OF_OTHER_SHAPES:
        return True
    for ours, theirs in zip(
        optimizer.state_dict()["param_groups"], state["param_groups"], strict=True
    ):
        numbers = {name for name, one in ours.items() if one is not None and type(one) is not bool}
        if ours["params"] != theirs.get("params") or not numbers <= theirs.keys():
            return False
        if not _takes(kind, {name: theirs[name] for name in numbers}):
            return False
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    names = {frozenset(kept) for kept in state["state"].values() if kept}
    return len(names) <= 1 and all(
        type(number) is int
        and 0 <= number < len(weights)
        and all(_is_of(weights[number], name, one) for name, one in kept.items())
        for number, kept in state["state"].items()
    )


def _takes(kind: type[Optimizer], settings: Mapping[str, Any]) -> bool:
    """Return whether a class of PyTorch, which checks what it is made of, takes settings."""
    known = inspect.signature(kind).parameters.keys() - {"params"}
    try:
        kind([torch.zeros(1)], **{name: settings[name] for name in known & settings.keys()})
    except (ValueError, TypeError, RuntimeError):
        return False
    return True


def _is_of(weight: Tensor, name: str, kept: Any) -> bool:
    if name in NUMBERS:
        return _is_number(kept) and 0 <= kept < math.inf
    if name == "momentum_buffer" and kept is None:
        return True
    return isinstance(kept, Tensor) and kept.shape == weight.shape


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1)
