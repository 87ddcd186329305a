"""Of every campaign in `tests/campaigns/recipes.py` a few: success or a sentence, nothing run."""

import sys
from pathlib import Path

import pytest
from hostile_texts import (
    hostile_dataset,
    hostile_recipe,
    outcome_of,
    planted_canary,
    try_dataset,
    try_recipe,
)

SEEDS = range(10_000, 10_040)


@pytest.fixture(autouse=True)
def _canary(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("planted").mkdir()
    planted_canary(Path("planted").resolve())


def test_hostile_recipes_end_in_success_or_a_sentence():
    ended = {
        seed: outcome_of(lambda seed=seed: try_recipe(hostile_recipe(seed)[1])) for seed in SEEDS
    }
    assert {seed: how for seed, how in ended.items() if how not in ("done", "refused")} == {}
    assert {"done", "refused"} == {*ended.values()}


def test_hostile_datasets_end_in_success_or_a_sentence():
    ended = {
        seed: outcome_of(lambda seed=seed: try_dataset(*hostile_dataset(seed)[1:]))
        for seed in SEEDS
    }
    assert {seed: how for seed, how in ended.items() if how not in ("done", "refused")} == {}
    assert {"done", "refused"} == {*ended.values()}
