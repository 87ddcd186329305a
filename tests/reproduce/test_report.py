"""Tables and claims of runs whose logs are written here."""

import json

import pytest
from torch.utils.tensorboard import SummaryWriter

from radenhance import metric_names
from radenhance.errors import UsageError
from radenhance.reproduce.claims import claims, take_home
from radenhance.reproduce.paper import LOSSES
from radenhance.reproduce.plans import Planned
from radenhance.reproduce.results import Results
from radenhance.reproduce.study import FAILED, FINISHED, Study
from radenhance.reproduce.tables import tables

RECIPES = ("original", "amp", "amp_chkp_mom", "dist")


@pytest.fixture
def study(tmp_path, monkeypatch):
    plans = {"original": Planned(60, 40, 1), "dist": Planned(30, 20, 1)}
    monkeypatch.setattr(
        "radenhance.reproduce.results.planned",
        lambda out, recipe, size, encoder: plans.get(recipe, Planned(50, 10, 1)),
    )
    return Study(tmp_path, tmp_path / "data", (512,), 2, RECIPES, seeds=(0, 1), memory_sizes=(512,))


def log(run, *, train, val, seconds=10.0, memory=None):
    """Write what a run of two epochs logs."""
    with SummaryWriter(run.folder / "lightning_logs" / "version_0") as writer:
        for step, more in ((5, 7.0), (10, 0.0)):
            writer.add_scalar(metric_names.TRAIN_LOSS, train + more, step)
            writer.add_scalar(metric_names.VAL_LOSS, val + more, step)
            writer.add_scalar(metric_names.EPOCH_S, seconds, step)
            for name, value in (memory or {}).items():
                writer.add_scalar(name, value, step)
    (run.folder / FINISHED).write_text(json.dumps({"radenhance": "0"}))


def log_all(study, **validation):
    for run in study.runs:
        if run.recipe in validation:
            log(run, train=4.0, val=validation[run.recipe] + 0.1 * run.seed)


def row_of(results, table, recipe, what=None):
    (found,) = [made for made in tables(results) if made.name == table]
    (row,) = [row for row in found.rows if row[0] == recipe and what in (None, row[1])]
    return dict(zip(enumerate(found.columns), row, strict=True))


def test_a_cell_is_the_mean_of_the_logged_losses_beside_the_papers(study):
    log_all(study, original=6.0, amp=9.0)
    row = list(row_of(Results(study), "table_I_losses", "AMP").values())
    assert row[6:11] == ["9.0500", "9.0000 to 9.1000", "6.2515", "1.496", "1.040"]
    assert float(row[8]) == LOSSES["amp"][1]


def test_a_cell_changes_with_the_log(study):
    log_all(study, original=6.0, amp=9.0)
    log(study.runs[1], train=4.0, val=5.0)
    assert study.runs[1].recipe == "amp"
    row = list(row_of(Results(study), "table_I_losses", "AMP").values())
    assert row[6] == "7.0500"


def test_memory_of_a_gpu_is_measured_and_else_planned(study):
    log_all(study, original=6.0, amp=9.0)
    stages = {"encoder": (100, 30), "decoder": (300, 50)}
    memory = {
        metric_names.memory(phase, metric_names.ALLOCATED, stage): values[i]
        for stage, values in stages.items()
        for i, phase in enumerate((metric_names.FORWARD, metric_names.BACKWARD))
    }
    (first, *_) = [run for run in study.runs if run.recipe == "dist"]
    log(first, train=4.0, val=6.0, memory=memory)
    results = Results(study)
    measured = list(row_of(results, "table_V_cost_512px", "Dist", "forward").values())
    assert measured[2:5] == ["200", "-", "measured"]
    planned = list(row_of(results, "table_V_cost_512px", "Original", "total").values())
    assert planned[2:6] == ["100", "-", "planned", "1198"]


def test_resident_memory_of_a_cpu_is_not_taken_for_a_gpus(study):
    (first, *_) = study.runs
    log(
        first,
        train=4.0,
        val=6.0,
        memory={metric_names.memory(metric_names.FORWARD, metric_names.PROCESS_RSS): 900},
    )
    assert Results(study).memory("original", 512).origin == "planned"


def test_claims_follow_the_losses(study):
    log_all(study, original=6.0, amp=6.05, amp_chkp_mom=17.0, dist=6.0)
    amp, mom, dist = claims(Results(study))
    assert "AMP is no worse than the original" in amp
    assert "AMP+Chkp+Momentum is WORSE than the original" in mom
    assert "equals a single device to the last digit" in dist


def test_the_sentence_names_the_least_memory_that_kept_the_loss(study):
    log_all(study, original=6.0, amp=6.0, amp_chkp_mom=17.0, dist=6.0)
    assert take_home(Results(study)).startswith("Dist takes 50% of the original's memory at 512 px")
    (run, *_) = [run for run in study.runs if run.recipe == "dist"]
    log(run, train=4.0, val=30.0)
    assert take_home(Results(study)).startswith("AMP takes 60% of the original's memory")


def test_a_failed_run_is_shown_as_failed(study):
    log_all(study, original=6.0)
    (run, *_) = [run for run in study.runs if run.recipe == "amp"]
    run.folder.mkdir(parents=True)
    (run.folder / FAILED).write_text("radenhance: the loss became nan")
    results = Results(study)
    assert list(row_of(results, "table_I_losses", "AMP").values())[1] == "failed"
    assert results.failures["amp", 512] == "radenhance: the loss became nan"


def test_logs_without_a_loss_are_refused(study):
    (run, *_) = study.runs
    run.folder.mkdir(parents=True)
    (run.folder / FINISHED).write_text("{}")
    with pytest.raises(UsageError, match="has no train/loss in its logs"):
        Results(study)


def test_a_folder_of_other_settings_is_refused(study, tmp_path):
    study.claim()
    study.claim()
    with pytest.raises(UsageError, match="holds runs with epochs 2, not 3"):
        Study(tmp_path, tmp_path / "data", epochs=3).claim()


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--recipes ampp is no recipe"):
        Study(tmp_path, tmp_path, recipes=("original", "ampp"))
