import copy

import pytest
import torch
from torch import nn

from radenhance.enhancer import ContrastEnhancer
from radenhance.fused_optimizer import fuse
from radenhance.planning.planned_run import PlannedRun


def stepped(kind, *, fused):
    """Weights after three steps."""
    torch.manual_seed(0)
    layer = nn.Linear(7, 5)
    optimizer = kind(layer.parameters(), lr=0.1)
    if fused:
        fuse(optimizer)
    for _ in range(3):
        layer(torch.ones(1, 7)).square().sum().backward()
        optimizer.step()
    return layer.weight.detach()


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_a_fused_step_is_the_step_but_for_rounding(name):
    kind = getattr(torch.optim, name)
    assert torch.allclose(stepped(kind, fused=True), stepped(kind, fused=False), rtol=1e-5)


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_a_run_goes_on_with_the_state_of_one_of_the_other_kind(before, after):
    results = []
    for kinds in ((before, after), (False, False)):
        torch.manual_seed(0)
        layer = nn.Linear(7, 5)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
        for fused in kinds:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
            if fused:
                fuse(optimizer, state["param_groups"])
            optimizer.load_state_dict(state)
            layer(torch.ones(1, 7)).square().sum().backward()
            optimizer.step()
        results.append(layer.weight.detach())
    assert torch.allclose(*results, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "fused"),
    [
        (torch.optim.Adam, {}, True),
        (torch.optim.SGD, {}, True),
        (torch.optim.Adam, {"foreach": True}, None),
        (torch.optim.Adam, {"fused": False}, False),
        (torch.optim.Adam, {"lr": torch.tensor(0.1)}, None),
        (torch.optim.RMSprop, {}, None),
    ],
)
def test_an_optimizer_is_fused_if_it_can_be_and_its_options_leave_that_open(kind, options, fused):
    optimizer = kind(nn.Linear(2, 2).parameters(), **{"lr": 0.1, **options})
    saved = copy.deepcopy(optimizer.state_dict()["param_groups"])
    fuse(optimizer, saved)
    assert [group.get("fused") for group in (*optimizer.param_groups, *saved)] == [fused, fused]


def test_weights_that_the_kernel_does_not_take_are_left_to_the_optimizer():
    optimizer = torch.optim.Adam(nn.Linear(2, 2, device="meta").parameters())
    fuse(optimizer)
    assert optimizer.param_groups[0]["fused"] is None


@pytest.mark.parametrize("fused", [True, False])
def test_a_network_trains_with_it_where_the_flag_says_so(fused):
    module = ContrastEnhancer("resnet18", fused_optimizer=fused)
    group = module.configure_optimizers()["optimizer"].param_groups[0]
    assert group["fused"] is (True if fused else None)


def test_a_plan_takes_a_fused_step_without_memory_of_its_own():
    flags = ["--model.encoder=resnet18", "--model.num_scales=auto"]
    plain = PlannedRun(flags).plan((64, 64)).phases["optimizer"]
    fused = PlannedRun([*flags, "--model.fused_optimizer=true"]).plan((64, 64))
    assert 0.8 * plain <= fused.phases["optimizer"] <= plain
