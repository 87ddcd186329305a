"""What becomes of a flag that differs from those of the run that goes on.

A checkpoint holds the options of the optimizer and of its schedule as state, and Lightning lets
them replace what was asked for without a word. Here they change places before they are loaded.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from radenhance.checkpoint import OPTIMIZER_STATES
from radenhance.errors import UsageError
from radenhance.resuming import SCHEDULERS

FULL_RATE = "initial_lr"
"""Key of a group of weights: the rate that its schedule takes shares of."""

SCHEDULER_FLAGS = "ContrastEnhancer.lr_scheduler."
NOT_OPTIONS = ("params", "optimizer", "lr", "last_epoch")
PLAIN = (int, float, str, list, tuple, type(None))

COMPUTING_AHEAD = ("OneCycleLR", "CyclicLR")
"""Schedules that fix the course of all rates when they are made."""

CYCLED = {"lr", "momentum", "betas"}
"""Options that these schedules change in each step."""


def take_options(content: Mapping[str, Any], optimizer: Optimizer, scheduler: Any) -> list[str]:
    """Let options of a run win over those in a checkpoint, and return a sentence for each.

    An option that has its class's default counts as not given: the checkpoint's stays.

    Args:
        content: A checkpoint's content of the form of the two, whose states are changed.
        optimizer: The run's optimizer, as it was made.
        scheduler: Its scheduler, as it was made.

    Raises:
        UsageError: The scheduler has computed from such an option what cannot be changed any more.
    """
    kept: Any = content[SCHEDULERS][0]
    theirs: Any = content[OPTIMIZER_STATES][0]["param_groups"]
    said = _take(kept, scheduler.state_dict(), type(scheduler), SCHEDULER_FLAGS)
    if said and type(scheduler).__name__ in COMPUTING_AHEAD:
        raise UsageError(
            f"{said[0]}; {type(scheduler).__name__} cannot change within a run: give the "
            f"checkpoint's, or start anew from its weights (ContrastEnhancer.weights)"
        )
    cycled = type(scheduler).__name__ in COMPUTING_AHEAD
    for number, (group, other) in enumerate(zip(optimizer.param_groups, theirs, strict=True)):
        left_out = CYCLED if cycled else {"lr"}
        ours = {name: value for name, value in group.items() if name not in left_out}
        said += _take(other, ours, type(optimizer), "ContrastEnhancer.optimizer.")
        if not cycled:
            said += _take_rate(other, group, type(optimizer), kept, number)
    return list(dict.fromkeys(said))


def _take(theirs: Any, ours: Mapping[str, Any], kind: type, flags: str) -> list[str]:
    said = []
    for name, parameter in _parameters(kind).items():
        if name in NOT_OPTIONS or name not in ours or name not in theirs:
            continue
        before, now = theirs[name], ours[name]
        if not isinstance(before, PLAIN) or not isinstance(now, PLAIN) or _equal(before, now):
            continue
        given = not _equal(now, parameter.default)
        if given:
            theirs[name] = now
        of_enhancer = name == "warmup_steps"  # the one of the default schedule
        said.append(
            _said(f"{'ContrastEnhancer.' if of_enhancer else flags}{name}", before, now, given)
        )
    return said


def _take_rate(
    theirs: Any, ours: Mapping[str, Any], kind: type, schedule: Any, number: int
) -> list[str]:
    """Scale the rate, and what the schedule keeps of it, by the new full rate over the old one."""
    before, now = theirs.get(FULL_RATE), ours.get(FULL_RATE, ours["lr"])
    if not isinstance(before, int | float) or not isinstance(now, int | float) or before == now:
        return []
    given = not _equal(now, _parameters(kind)["lr"].default)
    if given:
        theirs[FULL_RATE] = now
        theirs["lr"] = _scaled(theirs["lr"], before, now)
        for name in ("base_lrs", "_last_lr"):
            if len(schedule.get(name) or ()) > number:
                rates = list(schedule[name])
                rates[number] = _scaled(rates[number], before, now)
                schedule[name] = rates
    return [_said("ContrastEnhancer.optimizer.lr", before, now, given)]


def _scaled(rate: float, before: float, now: float) -> float:
    return now if rate == before or before == 0 else rate * now / before


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Return what a class is made of; Lightning's plateau hands most on to the one that it is."""
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(kind.__mro__[:-1]):
        found |= inspect.signature(base).parameters
    return found


def _said(name: str, before: object, now: object, given: bool) -> str:
    if given:
        return f"{name} is {now} from here on, and was {before} in the checkpoint"
    return f"{name} stays {before} as in the checkpoint, because {now} is its default"


def _equal(one: object, other: object) -> bool:
    both = isinstance(one, list | tuple) and isinstance(other, list | tuple)
    return list(one) == list(other) if both else one == other  # type: ignore[call-overload]
