"""What recipes need is what they needed: bytes may fall on purpose, and not drift.

After a change that is meant to alter them, write them anew, and look at the difference:

    RADENHANCE_WRITE_PLANS=1 python -m pytest tests/planning/test_plans_of_recipes.py
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from radenhance.flags.recipes import recipes
from radenhance.planning.planned_run import PlannedRun

PLANS = Path(__file__).parents[1] / "data" / "plans_192px.json"
FLAGS = ["--data.batch_size=1", "--model.encoder=resnet18", "--model.num_scales=auto"]
TOLERANCE = 0.002  # versions of torch differ by less, and the least of the techniques saves more


def plan_of(recipe):
    plan = asdict(PlannedRun(["--config", str(recipes()[recipe]), *FLAGS]).plan((192, 192)))
    return {key: plan[key] for key in ("phases", "kinds", "level", "forward_end", "host_bytes")}


def of_one_device():
    return sorted(name for name in recipes() if not name.startswith("dist"))


@pytest.mark.parametrize("recipe", of_one_device())
def test_a_recipe_needs_what_it_needed(recipe):
    plan = plan_of(recipe)
    kept = json.loads(PLANS.read_text())
    if os.environ.get("RADENHANCE_WRITE_PLANS"):
        PLANS.write_text(json.dumps({**kept, recipe: plan}, indent=1, sort_keys=True) + "\n")
        return
    before = kept[recipe]
    largest = max(before["phases"].values())
    for key in ("phases", "kinds"):
        assert plan[key] == pytest.approx(before[key], abs=TOLERANCE * largest)
    for key in ("level", "forward_end", "host_bytes"):
        assert plan[key] == pytest.approx(before[key], abs=TOLERANCE * largest)


def test_every_recipe_of_one_device_has_a_plan_to_compare_with():
    assert sorted(json.loads(PLANS.read_text())) == of_one_device()
