"""The command that trains what was planned, to be copied."""

import shlex
from typing import Any

from radenhance.flags.recipes import recipes
from radenhance.planning.planned_run import Flags, PlannedRun, Size, flags_in_words
from radenhance.planning.report import Answer


def fit_command(run: PlannedRun, answer: Answer) -> str | None:
    """Return the command of a run that fits, None where none is known.

    It is the run itself, or with the techniques of the quickest recipe that fits; where there is no
    GPU to compare with, the run itself.

    Args:
        run: The run.
        answer: What was planned of it.
    """
    limit = answer.limit_bytes
    techniques: Flags | None = {}
    if limit is not None and answer.plan.needed_bytes > limit:
        fitting = (one.flags for one in answer.found if one.plan.needed_bytes <= limit)
        techniques = next(fitting, None)
    if techniques is None:
        return None
    settings = run.settings
    changed = {
        name: value
        for name, value in {**techniques, **_flags_of_size(run, answer.size)}.items()
        if _said(settings[name]) != _said(value)
    }
    shipped = {str(path): name for name, path in recipes().items()}
    words = [_with_name(word, shipped) for word in run.typed]
    return shlex.join(["radenhance", "fit", *words, *flags_in_words(changed)])


def _flags_of_size(run: PlannedRun, size: Size) -> Flags:
    if size == run.image_size:
        return {}
    if size[0] != size[1]:
        return {"data.image_size": "native", "data.crop_size": None}
    cropped = run.settings.data.crop_size or run.settings.data.image_size == "native"
    return {"data.crop_size" if cropped else "data.image_size": size[0]}


def _said(value: Any) -> Any:
    """Return a setting as recipes say it: without a precision it is 32-true."""
    return "32-true" if value is None else value


def _with_name(word: str, shipped: dict[str, str]) -> str:
    flag, equals, path = word.rpartition("=")
    return f"{flag}{equals}{shipped.get(path, path)}"
