"""Which techniques make a training step fit, and how large an image may be."""

import math
from dataclasses import dataclass

from radenhance.errors import UsageError
from radenhance.flags.recipes import recipes
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import DEEPEST_STRIDE
from radenhance.planning.planned_run import Flags, PlannedRun, Size
from radenhance.planning.step_plan import StepPlan
from radenhance.text_files import read_yaml


@dataclass(frozen=True)
class Candidate:
    """A recipe's techniques on a run, planned.

    Args:
        recipe: File name of the recipe.
        flags: The techniques of the recipe.
        plan: Plan of one step.
        changes_function: Whether the network computes something else with the same weights.
    """

    recipe: str
    flags: Flags
    plan: StepPlan
    changes_function: bool


def candidates(run: PlannedRun, size: Size) -> list[Candidate]:
    """Return every single-device recipe's techniques on a run, the quickest first.

    A recipe gives its memory techniques and its precision; the network, the data and all else are
    those of the run. Recipes that change the function come after those that do not; those that
    cannot run this network, or cannot be planned, are left out.
    """
    found = []
    for name, flags in techniques_of_recipes().items():
        try:
            plan = run.with_flags(flags).plan(size)
        except UsageError:
            continue
        found.append(Candidate(name, flags, plan, changes_function(flags)))
    return sorted(found, key=lambda one: (one.changes_function, one.plan.seconds))


def techniques_of_recipes() -> dict[str, Flags]:
    """Return the flags of memory and precision of each recipe that is for one device.

    Techniques that a recipe does not name are off in it. Of recipes with the same techniques there
    is one.
    """
    named = {}
    for name, path in sorted(recipes().items()):
        content = read_yaml(path)
        trainer = content.get("trainer", {})
        if not {"strategy", "num_nodes"} & trainer.keys():
            memory = content.get("model", {}).get("memory", {})
            named[name] = (memory, trainer.get("precision", "32-true"))
    known = {technique for memory, _ in named.values() for technique in memory}
    defaults = {technique: getattr(MemoryTechniques(), technique) for technique in sorted(known)}
    found: dict[str, Flags] = {}
    for name, (memory, precision) in named.items():
        flags = {f"model.memory.{key}": value for key, value in {**defaults, **memory}.items()}
        flags["trainer.precision"] = precision
        if flags not in found.values():
            found[name] = flags
    return found


def changes_function(flags: Flags) -> bool:
    """Say whether techniques make another function of the same weights."""
    return (
        flags.get("model.memory.momentum") is not None
        or flags.get("model.memory.quantization", "none") != "none"
    )


def largest_side(run: PlannedRun, limit_bytes: int) -> int:
    """Return the side in pixels of the largest square image that fits, a multiple of 32; 0 if none.

    Bytes grow with the area: two sizes say about where the limit is, and there it is tried.
    """

    def needed(side: int) -> int:
        return run.plan((side, side)).needed_bytes

    small, large = 512, 1024
    per_pixel = (needed(large) - needed(small)) / (large**2 - small**2)
    area = (limit_bytes - needed(small)) / per_pixel + small**2
    if area < (2 * DEEPEST_STRIDE) ** 2:
        return 0
    side = int(math.sqrt(area)) // DEEPEST_STRIDE * DEEPEST_STRIDE
    while side > 0 and needed(side) > limit_bytes:
        side -= DEEPEST_STRIDE
    while needed(side + DEEPEST_STRIDE) <= limit_bytes:
        side += DEEPEST_STRIDE
    return side
