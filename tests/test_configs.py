"""Every recipe starts, and the packaging keeps its promises."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from radenhance import __version__
from radenhance.cli import main
from radenhance.flags.recipes import recipes

ROOT = Path(__file__).parents[1]


# those of two processes are started in strategies/test_recipes.py
@pytest.mark.parametrize("recipe", sorted(n for n in recipes() if not n.startswith("dist")))
def test_recipe_trains_a_step_on_the_tiny_dataset(recipe, tiny_flags):
    flags = [*tiny_flags, "--model.encoder=resnet18", "--trainer.fast_dev_run=1"]
    assert main(["fit", "--config", recipe, *flags]) == 0


@pytest.mark.parametrize("recipe", sorted(recipes()))
def test_recipe_is_a_small_overlay_that_says_what_it_is(recipe):
    text = recipes()[recipe].read_text()
    assert text.startswith("# ")
    assert f"radenhance fit --config {recipe}" in text
    assert len(text.splitlines()) < 40
    assert yaml.safe_load(text).keys() <= {"model", "data", "trainer", "seed_everything"}


def test_recipes_are_put_into_the_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs": "radenhance/configs"}


def test_changelog_names_the_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_image_installs_as_a_person_does_and_does_not_run_as_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any(re.match(r"RUN make .*\binstall\b", line) for line in lines)
    assert lines.index("USER radenhance") > next(
        i for i, line in enumerate(lines) if "useradd" in line
    )
    assert 'ENTRYPOINT ["radenhance"]' in lines
    copied = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "data", "lightning_logs"} <= set(copied)


def test_constraints_name_versions_and_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 20
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins), pins
