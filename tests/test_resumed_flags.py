"""A flag that differs on resuming takes effect, or is refused with both values; none is ignored."""

import inspect

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim import lr_scheduler

from radenhance.errors import UsageError
from radenhance.learning_rate import HalfCosine
from radenhance.resumed_flags import keep_own_options, take_options
from radenhance.resuming import refuse_other_form

OPTIMIZERS = (
    *("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adadelta", "Adagrad", "RMSprop", "Rprop"),
    *("ASGD", "SGD", "Adafactor"),
)
PLACING = ("capturable", "differentiable", "foreach", "fused")
SCHEDULES = {
    "HalfCosine": {"warmup_steps": 2},
    "ConstantLR": {"factor": 0.5, "total_iters": 4},
    "LinearLR": {"start_factor": 0.5, "end_factor": 1.0, "total_iters": 4},
    "StepLR": {"step_size": 2, "gamma": 0.5},
    "MultiStepLR": {"milestones": [2, 4], "gamma": 0.5},
    "ExponentialLR": {"gamma": 0.5},
    "PolynomialLR": {"total_iters": 5, "power": 1.0},
    "CosineAnnealingLR": {"T_max": 5, "eta_min": 0.0},
    "CosineAnnealingWarmRestarts": {"T_0": 5, "T_mult": 1, "eta_min": 0.0},
    "OneCycleLR": {
        **{"max_lr": 0.1, "total_steps": 9, "pct_start": 0.3, "anneal_strategy": "cos"},
        **{"cycle_momentum": True, "base_momentum": 0.85, "max_momentum": 0.95},
        **{"div_factor": 25.0, "final_div_factor": 1e4, "three_phase": False},
    },
    "CyclicLR": {
        **{"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "step_size_down": 3},
        **{"mode": "triangular", "gamma": 1.0},
        **{"cycle_momentum": True, "base_momentum": 0.8, "max_momentum": 0.9},
    },
    "ReduceLROnPlateau": {
        **{"monitor": "val/loss", "factor": 0.5, "patience": 3, "threshold": 0.1, "cooldown": 1},
        **{"min_lr": 0.0, "eps": 1e-8, "mode": "min", "threshold_mode": "rel"},
    },
}
WORDS = {
    **{"anneal_strategy": "linear", "milestones": [2, 5]},
    **{"mode": "max", "threshold_mode": "abs", "monitor": "val/psnr"},
}
MODE_OF_CYCLES = "exp_range"


def changed(value):
    """A value of the same kind, and another."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(one if one is None else changed(one) for one in value)
    return value + 1 if isinstance(value, int) else value * 0.9 + 0.02


class Run:
    """An optimizer that takes real steps, with its schedule, and what a checkpoint has of them."""

    def __init__(self, optimizer="Adam", schedule="HalfCosine", of_schedule=(), **options):
        self.weight = torch.nn.Parameter(torch.ones(2, 3))
        kind = getattr(torch.optim, optimizer)
        self.optimizer = kind([self.weight], **{"lr": 0.1, **options})
        ours = {"HalfCosine": HalfCosine, "ReduceLROnPlateau": ReduceLROnPlateau}
        kind = ours.get(schedule) or getattr(lr_scheduler, schedule)
        self.schedule = kind(self.optimizer, **dict(of_schedule))
        if schedule == "HalfCosine":
            self.schedule.fix_length(10)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def steps(self, number):
        for _ in range(number):
            self.weight.grad = torch.ones_like(self.weight)
            self.optimizer.step()
            self.schedule.step(*[0.0] * isinstance(self.schedule, ReduceLROnPlateau))
        return self

    def content(self):
        return {
            "optimizer_states": [self.optimizer.state_dict()],
            "lr_schedulers": [self.schedule.state_dict()],
        }

    def resume(self, content, given=None):
        refuse_other_form(content, self.optimizer, self.schedule)
        said = take_options(content, self.optimizer, self.schedule, given)
        self.optimizer.load_state_dict(content["optimizer_states"][0])
        self.schedule.load_state_dict(content["lr_schedulers"][0])
        return said

    def refusal(self, content, given):
        """What is said where it does not resume, and None where it does."""
        try:
            self.said = self.resume(content, given)
        except UsageError as refused:
            return str(refused)
        return None

    @property
    def rate(self):
        return self.optimizer.param_groups[0]["lr"]


OPTIONS = [
    (name, option, {"lr": 0.1, "d": 2.0}.get(option, parameter.default))
    for name in OPTIMIZERS
    for option, parameter in inspect.signature(getattr(torch.optim, name)).parameters.items()
    if option not in PLACING and isinstance(parameter.default, bool | int | float | tuple)
]


@pytest.mark.parametrize(("name", "option", "before"), OPTIONS)
def test_every_option_of_every_optimizer_takes_effect_or_is_refused(name, option, before):
    others = {"momentum": 0.9} if option == "nesterov" else {}
    now = changed(before)
    content = Run(name, **others, **{option: before}).steps(2).content()
    run = Run(name, **others, **{option: now})
    if refused := run.refusal(content, {f"optimizer.{option}"}):
        assert f"optimizer.{option} is {now}, and was {before} in the checkpoint" in refused
        assert "no averages for that" in refused
        return
    (said,) = run.said
    assert said.startswith(f"ContrastEnhancer.optimizer.{option} is {now} from here on, and was ")
    group = run.steps(2).optimizer.param_groups[0]
    assert group["initial_lr" if option == "lr" else option] == now


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in SCHEDULES for option in SCHEDULES[name]]
)
def test_every_option_of_every_schedule_takes_effect_or_is_refused(name, option):
    former, kind = SCHEDULES[name], "SGD" if name == "CyclicLR" else "Adam"
    now = WORDS.get(option, former[option])
    now = changed(now) if now == former[option] else now
    if (name, option) == ("CyclicLR", "mode"):
        now = MODE_OF_CYCLES
    momentum = {"momentum": 0.9} if kind == "SGD" else {}
    content = Run(kind, name, former, **momentum).steps(3).content()
    run = Run(kind, name, former | {option: now}, **momentum)
    fresh = run.schedule.state_dict()
    shown = option if name == "HalfCosine" else f"lr_scheduler.{option}"
    if refused := run.refusal(content, {shown}):
        assert f"in the checkpoint; {name} cannot change within a run" in refused
        assert name in ("OneCycleLR", "CyclicLR") or option == "T_0"
        return
    (said,) = run.said
    assert f"ContrastEnhancer.{shown} is {now} from here on, and was {former[option]}" in said
    entry = "min_lrs" if option == "min_lr" else option
    assert run.schedule.state_dict()[entry] == fresh[entry]
    if option in ("monitor", "mode", "threshold_mode"):
        assert run.schedule.best == fresh["best"]
    elif name not in ("ReduceLROnPlateau", "HalfCosine", "CosineAnnealingWarmRestarts"):
        assert run.rate == pytest.approx(Run(kind, name, former | {option: now}).steps(3).rate)
        assert run.steps(2).rate == pytest.approx(
            Run(kind, name, former | {option: now}).steps(5).rate
        )


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_same_options_change_and_say_nothing(name):
    kind, momentum = ("SGD", {"momentum": 0.9}) if name == "CyclicLR" else ("Adam", {})
    first = Run(kind, name, SCHEDULES[name], **momentum).steps(3)
    second = Run(kind, name, SCHEDULES[name], **momentum)
    assert second.resume(first.content(), {"optimizer.lr"}) == []
    assert first.steps(2).rate == second.steps(2).rate


@pytest.mark.parametrize("name", ["HalfCosine", "StepLR", "ReduceLROnPlateau"])
def test_a_rate_takes_effect_in_proportion_to_where_the_schedule_is(name):
    content = Run("Adam", name, SCHEDULES[name]).steps(3).content()
    run = Run("Adam", name, SCHEDULES[name], lr=0.4)
    run.resume(content, {"optimizer.lr"})
    like = Run("Adam", name, SCHEDULES[name], lr=0.4).steps(3)
    assert run.rate == pytest.approx(like.rate)
    assert run.steps(2).rate == pytest.approx(like.steps(2).rate)


@pytest.mark.parametrize(
    ("given", "expected", "why"),
    [
        ({"optimizer.weight_decay"}, 0, "is 0 from here on, and was 0.1 in the checkpoint"),
        (set(), 0.1, "stays 0.1 as in the checkpoint, because none was given"),
        (None, 0.1, "stays 0.1 as in the checkpoint, because 0 is its default"),
    ],
)
def test_the_default_of_a_class_counts_where_it_was_given(given, expected, why):
    content = Run(weight_decay=0.1).steps(1).content()
    run = Run()
    assert run.resume(content, given) == [f"ContrastEnhancer.optimizer.weight_decay {why}"]
    assert run.optimizer.param_groups[0]["weight_decay"] == expected


def test_a_checkpoint_that_does_not_say_its_full_rate_keeps_the_rate_and_says_so():
    content = Run("Adam", "ReduceLROnPlateau", SCHEDULES["ReduceLROnPlateau"]).content()
    del content["optimizer_states"][0]["param_groups"][0]["initial_lr"]
    run = Run("Adam", "ReduceLROnPlateau", SCHEDULES["ReduceLROnPlateau"], lr=0.4)
    del run.optimizer.param_groups[0]["initial_lr"]
    (said,) = run.resume(content, {"optimizer.lr"})
    assert said.startswith("ContrastEnhancer.optimizer.lr stays 0.1, to which")
    assert "and not 0.4" in said
    assert run.rate == 0.1


def test_early_stopping_has_the_patience_that_is_asked_for():
    first, second = EarlyStopping("val/loss", patience=2), EarlyStopping("val/loss", patience=7)
    first.wait_count = 2
    content = {"callbacks": {first.state_key: first.state_dict(), "Other": 3}}
    said = "EarlyStopping.patience is 7 from here on, and was 2 in the checkpoint"
    assert keep_own_options(content, [second]) == [said]
    second.load_state_dict(content["callbacks"][second.state_key])
    assert (second.patience, second.wait_count) == (7, 2)
    assert keep_own_options(content, [second]) == []
