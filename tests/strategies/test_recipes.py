"""The recipes of two processes start."""

import pytest
from processes import command, run_nodes

from radenhance.flags.recipes import recipes

WITH_ALL_TECHNIQUES = "dist_amp_chkp_mom.yaml"


@pytest.mark.parametrize("recipe", sorted(name for name in recipes() if name.startswith("dist")))
def test_recipe_of_two_processes_trains_a_step(recipe, tmp_path, tiny_flags):
    flags = [*tiny_flags, "--model.encoder=resnet18", "--trainer.fast_dev_run=1"]
    if recipe != WITH_ALL_TECHNIQUES:
        flags.append("--trainer.strategy.cut=decoder0")  # choosing it takes the longest
    run_nodes(command, "fit", "--config", recipe, *flags, folder=tmp_path / "run")
