"""Every recipe starts."""

import pytest
import yaml

from radenhance.cli import main
from radenhance.flags.recipes import recipes


# those of two processes are started in strategies/test_recipes.py
@pytest.mark.parametrize("recipe", sorted(n for n in recipes() if not n.startswith("dist")))
def test_recipe_trains_a_step_on_the_tiny_dataset(recipe, tiny_flags, monkeypatch):
    # kernels of a network take minutes
    monkeypatch.setattr("radenhance.memory.compilation.stages.runs_as_graph", lambda tensor: True)
    flags = [*tiny_flags, "--model.encoder=resnet18", "--trainer.fast_dev_run=1"]
    assert main(["fit", "--config", recipe, *flags]) == 0


@pytest.mark.parametrize("recipe", sorted(recipes()))
def test_recipe_is_a_small_overlay_that_says_what_it_is(recipe):
    text = recipes()[recipe].read_text()
    assert text.startswith("# ")
    assert f"radenhance fit --config {recipe}" in text
    assert len(text.splitlines()) < 40
    assert yaml.safe_load(text).keys() <= {"model", "data", "trainer", "seed_everything"}
