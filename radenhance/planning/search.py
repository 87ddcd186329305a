"""Which techniques make a training step fit, and how large an image may be."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from radenhance.errors import UsageError
from radenhance.flags.recipes import recipes
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import DEEPEST_STRIDE
from radenhance.planning.planned_run import Flags, PlanError, PlannedRun, Size
from radenhance.planning.step_plan import StepPlan
from radenhance.text_files import read_yaml

Shown = Callable[[Iterable[Any]], Iterable[Any]]

FIRST_SIDES = (512, 1024)
"""Sides in pixels that a search for the largest one starts with."""


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


def candidates(run: PlannedRun, size: Size, shown: Shown = iter) -> list[Candidate]:
    """Return every single-device recipe's techniques on a run, the quickest first.

    A recipe gives its memory techniques and its precision; the network, the data and all else are
    those of the run. Recipes that change the function come after those that do not; those that
    cannot run this network, or cannot be planned, are left out.

    Args:
        run: The run.
        size: Rows and columns of the images in pixels.
        shown: Function that passes the recipes on as they are planned, and shows that.
    """
    found = []
    techniques = techniques_of_recipes()
    for name in shown(techniques):
        flags = techniques[name]
        try:
            plan = run.with_flags(flags).plan(size)
        except UsageError:
            continue
        found.append(Candidate(name, flags, plan, changes_function(flags)))
    return sorted(found, key=lambda one: (one.changes_function, one.plan.seconds))


def techniques_of_recipes() -> dict[str, Flags]:
    """Return the flags of memory and precision of each recipe that is for one device.

    Techniques that a recipe does not name are off in it. Of recipes with the same techniques there
    is one. Those that compile are left out: what time that saves is not planned, and not every
    machine can.
    """
    named = {}
    for name, path in sorted(recipes().items()):
        content = read_yaml(path)
        trainer = content.get("trainer", {})
        if not {"strategy", "num_nodes"} & trainer.keys():
            memory = content.get("model", {}).get("memory", {})
            named[name] = (memory, trainer.get("precision", "32-true"))
    known = {technique for memory, _ in named.values() for technique in memory}
    named = {name: one for name, one in named.items() if one[0].get("compile", "none") == "none"}
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


def largest_side(run: PlannedRun, limit_bytes: int, shown: Shown = iter) -> int:
    """Return the side in pixels of the largest square image that fits, a multiple of 32; 0 if none.

    Bytes grow about with the area: between the nearest sides that are planned, the limit is where a
    straight line puts it, and the next plan is made there.

    Args:
        run: The run.
        limit_bytes: Memory of the GPU.
        shown: Function that passes the sides on as they are planned, and shows that.
    """
    needed = {side: run.plan((side, side)).needed_bytes for side in shown(FIRST_SIDES)}

    def sides() -> Iterator[int]:
        while (side := _next_side(needed, limit_bytes)) is not None:
            yield side

    for side in shown(sides()):
        try:
            needed[side] = run.plan((side, side)).needed_bytes
        except PlanError:  # images may be too small
            if side > min(FIRST_SIDES):
                raise
            needed[side] = limit_bytes + 1
    return _largest_that_fits(needed, limit_bytes)


def _largest_that_fits(needed: Mapping[int, int], limit_bytes: int) -> int:
    return max((side for side, size in needed.items() if size <= limit_bytes), default=0)


def _next_side(needed: Mapping[int, int], limit_bytes: int) -> int | None:
    """Return the side to plan next, None where the largest one that fits is known."""
    low = _largest_that_fits(needed, limit_bytes)
    high = min((side for side in needed if side > low), default=None)
    if high is not None and high - low <= DEEPEST_STRIDE:
        return None
    near = sorted(needed, key=lambda side: abs(needed[side] - limit_bytes))[:2]
    (a, of_a), (b, of_b) = ((side**2, needed[side]) for side in near)
    slope = (of_b - of_a) / (b - a)
    area = a + (limit_bytes - of_a) / slope if slope > 0 else (low**2 + (high or 2 * low) ** 2) / 2
    side = int(math.sqrt(max(area, 0))) // DEEPEST_STRIDE * DEEPEST_STRIDE
    highest = side if high is None else high - DEEPEST_STRIDE
    return max(low + DEEPEST_STRIDE, min(side, highest))
