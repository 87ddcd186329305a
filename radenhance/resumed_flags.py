"""What becomes of a parameter that differs from that of the run which goes on.

A checkpoint holds the options of the optimizer, of its schedule and of some callbacks as state, and
Lightning lets them replace what was asked for without a word. Here the state is changed before it
is loaded: what was asked for takes effect, or is refused with both values.
"""

import inspect
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from radenhance.checkpoint import OPTIMIZER_STATES
from radenhance.compat.torch import rates_of_course
from radenhance.errors import UsageError
from radenhance.foreign_text import one_line
from radenhance.resuming import CALLBACKS, NUMBERS, OF_OTHER_SHAPES, PHASES, SCHEDULERS

FULL_RATE = "initial_lr"
"""Key of a group of weights: the rate that its schedule takes shares of."""

NOT_OPTIONS = ("params", "optimizer", "lr", "last_epoch")
PLAIN = (int, float, str, list, tuple, Counter, type(None))

COUNTED = (
    *("last_epoch", "base_lrs", "T_cur", "T_i", "best", "num_bad_epochs", "cooldown_counter"),
    *("mode_worse", "default_min_lr", "begin", "num_steps", "end", "lowest", "rise"),
)
"""What the state of a schedule holds beside its options, and private names."""

PARAMETERS = {
    PHASES: "pct_start",
    "_anneal_func_type": "anneal_strategy",
    "total_size": "step_size_up",
    "step_ratio": "step_size_down",
}
"""Entry in the state of a schedule -> the parameter that it is made of."""

COMPUTING_AHEAD = ("OneCycleLR", "CyclicLR")
"""Schedules that fix the course of all rates when they are made."""

COURSE = (FULL_RATE, "max_lr", "min_lr", "max_momentum", "base_momentum")
"""What they note of it in each group of weights."""

CYCLED = {"lr", "momentum", "betas"}
"""Options that they change in each step."""

AT_A_RESTART = {"CosineAnnealingWarmRestarts": ("T_0",)}
"""Schedule -> options that it takes when it is made and never again."""

OF_MEASURE = ("monitor", "mode", "threshold_mode")
"""Options of ReduceLROnPlateau that make of its best value so far one of something else."""

REMEDY = "give the checkpoint's, or start anew from its weights (ContrastEnhancer.weights)"


class _Choice:
    """Decides which of two values counts, and notes what has to be said of it."""

    def __init__(self, given: Collection[str] | None) -> None:
        self.given = given
        self.said: list[str] = []

    def takes(self, name: str, before: object, now: object, default: object) -> bool:
        """Return whether a value of this run takes the place of the checkpoint's."""
        is_taken = not _equal(now, default) if self.given is None else name in self.given
        old, new = _shown(before), _shown(now)
        if is_taken:
            said = f"is {new} from here on, and was {old} in the checkpoint"
        elif self.given is None:
            said = f"stays {old} as in the checkpoint, because {new} is its default"
        else:
            said = f"stays {old} as in the checkpoint, because none was given"
        self.said.append(f"ContrastEnhancer.{name} {said}")
        return is_taken


def take_options(
    content: Mapping[str, Any],
    optimizer: Optimizer,
    scheduler: Any,
    given: Collection[str] | None = None,
) -> list[str]:
    """Let options of a run win over those in a checkpoint, and return a sentence for each.

    Args:
        content: A checkpoint's content of the form of the two, whose states are changed.
        optimizer: The run's optimizer, as it was made.
        scheduler: Its scheduler, as it was made.
        given: The parameters of ContrastEnhancer that were asked for, such as optimizer.lr; of
            others the checkpoint's stay. None where nobody knows: then those stay that have the
            default of their class.

    Raises:
        UsageError: The scheduler has computed from such an option what cannot be changed any more,
            or the optimizer needs averages that the checkpoint does not have.
    """
    choice = _Choice(given)
    kept: Any = content[SCHEDULERS][0]
    state: Any = content[OPTIMIZER_STATES][0]
    is_cycled = type(scheduler).__name__ in COMPUTING_AHEAD
    is_changed = _take_of_schedule(kept, scheduler, choice)
    for number, (ours, theirs) in enumerate(
        zip(optimizer.param_groups, state["param_groups"], strict=True)
    ):
        if is_cycled:
            _refuse_others(scheduler, {name: (theirs.get(name), ours.get(name)) for name in COURSE})
        left_out = CYCLED if is_cycled else {"lr"}
        own = {name: value for name, value in ours.items() if name not in left_out}
        _take_of_optimizer(state, theirs, own, type(optimizer), choice)
        if not is_cycled:
            _take_rate(theirs, ours, type(optimizer), kept, number, choice)
    if is_changed:
        _move_to_new_course(scheduler, kept, state["param_groups"])
    return list(dict.fromkeys(choice.said))


def _take_of_schedule(theirs: Any, scheduler: Any, choice: _Choice) -> bool:
    """Change the state of a schedule, and return whether anything of it changed."""
    is_changed = False
    kind, ours = type(scheduler), scheduler.state_dict()
    parameters = _parameters(kind)
    for entry, name, before, now in _differing(theirs, ours, parameters):
        if kind.__name__ in COMPUTING_AHEAD or name in AT_A_RESTART.get(kind.__name__, ()):
            _refuse_others(scheduler, {name: (before, now)})
        of_enhancer = name == "warmup_steps"  # the one of the default schedule
        shown = name if of_enhancer else f"lr_scheduler.{name}"
        if choice.takes(shown, before, now, parameters[name].default):
            theirs[entry], is_changed = now, True
            if isinstance(scheduler, ReduceLROnPlateau) and name in OF_MEASURE:
                for counted in ("best", "num_bad_epochs", "mode_worse"):
                    theirs[counted] = ours[counted]
    return is_changed


def _differing(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield entry, parameter, former and new value of each option that differs."""
    for entry in sorted(ours.keys() & theirs.keys(), key=lambda entry: (entry[:1] == "_", entry)):
        name = PARAMETERS.get(entry, entry)
        if name not in parameters:
            name = name.removesuffix("s")  # one for each group
        before, now = theirs[entry], ours[entry]
        if name not in parameters or entry in COUNTED or name in NOT_OPTIONS:
            continue
        if isinstance(before, PLAIN) and isinstance(now, PLAIN) and not _equal(before, now):
            yield entry, name, before, now


def _refuse_others(scheduler: Any, values: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (before, now) in values.items():
        if not _equal(before, now):
            raise UsageError(
                f"ContrastEnhancer.lr_scheduler has {name} {_shown(now)}, and had {_shown(before)} "
                f"in the checkpoint; {type(scheduler).__name__} cannot change within a run: "
                f"{REMEDY}"
            )


def _take_of_optimizer(
    state: Mapping[str, Any], theirs: Any, ours: Mapping[str, Any], kind: type, choice: _Choice
) -> None:
    parameters = _parameters(kind)
    for entry, name, before, now in _differing(theirs, ours, parameters):
        if choice.takes(f"optimizer.{name}", before, now, parameters[name].default):
            theirs[entry] = now
            if not _goes_on(kind, theirs, state["state"]):
                raise UsageError(
                    f"ContrastEnhancer.optimizer.{name} is {_shown(now)}, and was "
                    f"{_shown(before)} in the checkpoint, which has no averages for that; {REMEDY}"
                )


def _goes_on(kind: type, group: Mapping[str, Any], state: Mapping[Any, Any]) -> bool:
    """Return whether an optimizer of PyTorch can take a step from such averages."""
    kept: Mapping[str, Any] = next(iter(state.values()), {})
    is_known = kind.__module__.startswith("torch.optim.") and kind.__name__ not in OF_OTHER_SHAPES
    if not kept or not is_known:
        return True
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    trial = kind([weight])
    placing = ("capturable", "differentiable", "foreach", "fused")
    options = trial.param_groups[0].keys() & group.keys() - {"params", "lr", *placing}
    trial.param_groups[0].update({name: group[name] for name in options})
    trial.state[weight] = {
        name: one if one is None else torch.ones(() if name in NUMBERS else 1)
        for name, one in kept.items()
    }
    try:
        trial.step()
    except KeyError:
        return False
    return True


def _take_rate(
    theirs: Any, ours: Mapping[str, Any], kind: type, schedule: Any, number: int, choice: _Choice
) -> None:
    """Scale the rate, and what the schedule keeps of it, by the new full rate over the old one."""
    before, now = theirs.get(FULL_RATE), ours.get(FULL_RATE, ours["lr"])
    if before is None and not _equal(theirs["lr"], now):
        choice.said.append(
            f"ContrastEnhancer.optimizer.lr stays {_shown(theirs['lr'])}, to which the schedule "
            f"may have brought it, and not {_shown(now)}, as the checkpoint of an earlier version "
            f"does not say at which rate its run began"
        )
    if not isinstance(before, int | float) or not isinstance(now, int | float) or before == now:
        return
    if choice.takes("optimizer.lr", before, now, _parameters(kind)["lr"].default):
        theirs[FULL_RATE] = now
        theirs["lr"] = _scaled(theirs["lr"], before, now)
        for name in ("base_lrs", "_last_lr"):
            if len(schedule.get(name) or ()) > number:
                rates = list(schedule[name])
                rates[number] = _scaled(rates[number], before, now)
                schedule[name] = rates


def _move_to_new_course(scheduler: Any, kept: Any, groups: Any) -> None:
    """Set rates to those of a run that began so, where a schedule works each out from the last."""
    rates = rates_of_course(scheduler, kept)
    if rates is not None:
        kept["_last_lr"] = rates
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate


def keep_own_options(content: dict[str, Any], callbacks: Iterable[Callback]) -> list[str]:
    """Let options of callbacks win over their state, and return a sentence for each.

    Args:
        content: A checkpoint's content, which is changed.
        callbacks: The run's callbacks.
    """
    states = content.get(CALLBACKS)
    kept = dict(states) if isinstance(states, Mapping) else {}
    said = []
    for callback in callbacks:
        state = kept.get(callback.state_key)
        if not isinstance(state, Mapping):
            continue
        for name in sorted(
            _parameters(type(callback)).keys() & state.keys() & vars(callback).keys()
        ):
            before, now = state[name], getattr(callback, name)
            if not _equal(before, now):
                state = {**state, name: now}
                what = f"{type(callback).__name__}.{name}"
                said.append(
                    f"{what} is {_shown(now)} from here on, and was {_shown(before)} in the "
                    f"checkpoint"
                )
        kept[callback.state_key] = state
    content[CALLBACKS] = kept
    return said


def _scaled(rate: float, before: float, now: float) -> float:
    return now if rate == before or before == 0 else rate * now / before


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Return what a class is made of; Lightning's plateau hands most on to the one that it is."""
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(kind.__mro__[:-1]):
        found |= inspect.signature(base).parameters
    return found


def _equal(one: Any, other: Any) -> bool:
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """Return a value in which a number for each group is one, if it is the only one."""
    if not isinstance(value, list | tuple):
        return value
    return value[0] if len(value) == 1 else list(value)


def _shown(value: Any) -> str:
    if isinstance(value, Counter):  # milestones
        value = sorted(value)
    elif isinstance(value, list):  # perhaps of the phases of a cycle
        value = _plain([one.get("end_step") if isinstance(one, dict) else one for one in value])
    return one_line(value, 100)
