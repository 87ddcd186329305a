"""What a run says of itself: the flags that runs are compared by, and its command line."""

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
)
TECHNIQUES = "model.memory."

OF_PATIENTS = ("--data.predict_from", "--output.folder")
"""Flags with folders that may be named after a patient; their values are shown nowhere."""


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


def typed(arguments: Sequence[str]) -> str:
    """Return the command line as it was typed, with recipes by their names.

    Args:
        arguments: The first is the command.
    """
    shipped = {str(path): name for name, path in recipes().items()}
    words = ["radenhance"]
    for argument in arguments:
        flag, equals, value = argument.rpartition("=")
        word = flag + equals + shipped.get(value, value)
        if flag in OF_PATIENTS:
            word = f"{flag}=..."
        words.append("..." if words[-1] in OF_PATIENTS else word)
    return shlex.join(words)
