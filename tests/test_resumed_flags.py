"""A flag that differs on resuming takes effect, or is refused with both values; none is ignored."""

import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from radenhance.errors import UsageError
from radenhance.learning_rate import HalfCosine
from radenhance.resumed_flags import take_options

PLATEAU = (ReduceLROnPlateau, {"monitor": "val/loss"})


def made(kind=torch.optim.Adam, schedule=HalfCosine, of_schedule=(), **options):
    optimizer = kind([torch.nn.Parameter(torch.ones(1))], **options)
    scheduler = schedule(optimizer, **dict(of_schedule))
    if schedule is HalfCosine:
        scheduler.fix_length(10)
    return optimizer, scheduler


def left_by(optimizer, scheduler, steps=3):
    """Return what a run of some steps left."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    for _ in range(steps):
        optimizer.step()
        scheduler.step(*[0.0] * isinstance(scheduler, ReduceLROnPlateau))
    return {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
    }


OPTIONS = [
    ({}, {"lr": 0.1}, "lr is 0.1 from here on, and was 0.001 in"),
    ({}, {"weight_decay": 0.1}, "weight_decay is 0.1 from here on, and was 0 in"),
    ({}, {"betas": (0.5, 0.9)}, "betas is (0.5, 0.9) from here on, and was (0.9, 0.999) in"),
    ({}, {"eps": 1e-4}, "eps is 0.0001 from here on, and was 1e-08 in"),
    ({}, {"amsgrad": True}, "amsgrad is True from here on, and was False in"),
    ({"lr": 0.1}, {}, "lr stays 0.1 as in the checkpoint, because 0.001 is its default"),
    ({"weight_decay": 0.1}, {}, "weight_decay stays 0.1 as in the checkpoint, because 0 is"),
]


@pytest.mark.parametrize("schedule", [(HalfCosine, {}), (StepLR, {"step_size": 2}), PLATEAU])
@pytest.mark.parametrize(("before", "now", "said"), OPTIONS)
def test_an_option_of_the_optimizer_wins_over_the_checkpoints_or_is_said(
    schedule, before, now, said
):
    kind, of_schedule = schedule
    content = left_by(*made(schedule=kind, of_schedule=of_schedule, **before))
    optimizer, scheduler = made(schedule=kind, of_schedule=of_schedule, **now)
    assert [text for text in take_options(content, optimizer, scheduler) if said in text]
    optimizer.load_state_dict(content["optimizer_states"][0])
    scheduler.load_state_dict(content["lr_schedulers"][0])
    like = made(schedule=kind, of_schedule=of_schedule, **(before | now))
    left_by(*like)
    for _ in range(2):
        (group,), (expected,) = optimizer.param_groups, like[0].param_groups
        assert group | {"lr": 0, "params": 0} == expected | {"lr": 0, "params": 0}
        assert group["lr"] == pytest.approx(expected["lr"])
        left_by(optimizer, scheduler, steps=1)
        left_by(*like, steps=1)


@pytest.mark.parametrize(
    ("schedule", "before", "now", "said"),
    [
        (HalfCosine, {}, {"warmup_steps": 7}, "ContrastEnhancer.warmup_steps is 7 from here on"),
        (HalfCosine, {"warmup_steps": 7}, {}, "ContrastEnhancer.warmup_steps stays 7"),
        (StepLR, {"step_size": 2}, {"step_size": 3}, "lr_scheduler.step_size is 3 from here on"),
        (CosineAnnealingLR, {"T_max": 4}, {"T_max": 9}, "T_max is 9 from here on, and was 4 in"),
        (
            *PLATEAU,
            {"monitor": "val/loss", "patience": 2},
            "lr_scheduler.patience is 2 from here on, and was 10",
        ),
    ],
)
def test_an_argument_of_the_schedule_wins_over_the_checkpoints_or_is_said(
    schedule, before, now, said
):
    content = left_by(*made(schedule=schedule, of_schedule=before))
    optimizer, scheduler = made(schedule=schedule, of_schedule=now)
    (text,) = take_options(content, optimizer, scheduler)
    assert said in text
    scheduler.load_state_dict(content["lr_schedulers"][0])
    assert {name: getattr(scheduler, name) for name in before | now} == before | now


def test_a_schedule_that_computes_ahead_is_not_changed_within_a_run():
    content = left_by(*made(schedule=OneCycleLR, of_schedule={"max_lr": 0.1, "total_steps": 9}))
    same = made(schedule=OneCycleLR, of_schedule={"max_lr": 0.1, "total_steps": 9})
    assert take_options(content, *same) == []
    longer = made(schedule=OneCycleLR, of_schedule={"max_lr": 0.1, "total_steps": 20})
    with pytest.raises(UsageError, match="total_steps is 20 from here on, and was 9"):
        take_options(content, *longer)


@pytest.mark.parametrize("schedule", [(HalfCosine, {}), PLATEAU])
def test_a_run_that_goes_on_as_it_was_says_nothing(schedule):
    first, second = (made(torch.optim.Adam, *schedule, lr=0.1, weight_decay=0.1) for _ in "ab")
    assert take_options(left_by(*first), *second) == []
