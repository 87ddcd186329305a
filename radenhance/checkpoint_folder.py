"""A checkpoint names the files beside it, not the folder that they lie in.

Lightning's ModelCheckpoint saves where its best files are. The way to a run's folder may be named
after a patient, and a checkpoint is passed on. So it leaves with names of files alone, and where it
is resumed the folder is that in which the run goes on.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

CALLBACKS = "callbacks"

_FILES = ("best_model_path", "kth_best_model_path", "last_model_path")
_SCORES = "best_k_models"
_FOLDER = "dirpath"


def leave_out_folder(content: dict[str, Any]) -> None:
    """Leave of the files that a ModelCheckpoint counts as its own their names.

    Args:
        content: A checkpoint's content, which is changed; what the callbacks keep is not.
    """
    states = content.get(CALLBACKS, {})
    content[CALLBACKS] = {
        key: _moved(state, "") if isinstance(state, Mapping) and _SCORES in state else state
        for key, state in states.items()
    }


def put_in_folder(content: dict[str, Any], callbacks: Iterable[Callback]) -> None:
    """Let a ModelCheckpoint find its files again, or begin anew where the run has another folder.

    Args:
        content: A checkpoint's content, which is changed.
        callbacks: The run's callbacks, set up.
    """
    states = content.get(CALLBACKS)
    for callback in callbacks:
        if not isinstance(callback, ModelCheckpoint) or not isinstance(states, dict):
            continue
        state = states.get(callback.state_key)
        if not isinstance(state, Mapping) or state.get(_FOLDER) != "" or not callback.dirpath:
            continue
        moved = _moved(state, str(callback.dirpath))
        if os.path.isfile(moved[_FILES[0]]):
            states[callback.state_key] = moved
        else:
            del states[callback.state_key]


def _moved(state: Mapping[str, Any], folder: str) -> dict[str, Any]:
    def within(path: object) -> str:
        name = os.path.basename(str(path))
        return os.path.join(folder, name) if name else ""

    files = {name: within(state[name]) for name in _FILES if name in state}
    scores = {within(path): score for path, score in dict(state[_SCORES]).items()}
    return {**state, **files, _SCORES: scores, _FOLDER: folder}
