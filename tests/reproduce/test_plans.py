"""Plans are made once, kept beside the runs, and tell the paper's figures."""

import json

import pytest

from radenhance.reproduce import plans
from radenhance.reproduce.plans import Planned, planned

SIZE = 192


@pytest.fixture
def made(monkeypatch):
    """Count the plans instead of making them."""
    calls = []

    def plan(recipe, size, encoder):
        calls.append((recipe, size, encoder))
        return Planned(len(calls), 0, 0)

    monkeypatch.setattr(plans, "_plan", plan)
    return calls


def test_a_plan_is_made_once(tmp_path, made):
    first = planned(tmp_path, "amp", 512)
    assert planned(tmp_path, "amp", 512) == first
    assert len(made) == 1


def test_recipes_sizes_and_encoders_do_not_share_a_plan(tmp_path, made):
    for arguments in (("amp", 512), ("mom", 512), ("amp", 1024), ("amp", 512, "resnet18")):
        planned(tmp_path, *arguments)
    assert len(made) == 4


def test_a_plan_of_another_session_is_taken_as_it_is(tmp_path, made):
    path = tmp_path / "plans" / "amp-own-512px.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"forward_mib": 1.5, "backward_mib": 2.5, "needed_bytes": 3}))
    assert planned(tmp_path, "amp", 512) == Planned(1.5, 2.5, 3)
    assert not made


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    out = tmp_path_factory.mktemp("plans")
    return {name: planned(out, name, SIZE, "resnet18") for name in ("original", "chkp", "dist")}


def test_checkpointing_lowers_the_forward_phase_and_raises_the_backward_phase(real):
    # of so small an image half of what is left is decoder stages' kernels, which do not shrink
    assert real["chkp"].forward_mib < 0.8 * real["original"].forward_mib
    assert real["chkp"].backward_mib > real["original"].backward_mib


def test_of_two_devices_the_mean_is_given_as_in_the_paper(real):
    """The sum of both lies near one device's: each holds about a half of the activations."""
    share = real["dist"].forward_mib / real["original"].forward_mib
    assert 0.4 < share < 0.7


def test_what_a_gpu_needs_is_more_than_the_phases_take(real):
    for plan in real.values():
        assert plan.needed_bytes > 2**20 * (plan.forward_mib + plan.backward_mib)
