"""A study is reported as it stands: done, in part, or failed."""

import pytest

from radenhance import metric_names
from radenhance.errors import UsageError
from radenhance.reproduce.results import Results
from radenhance.reproduce.study import FAILED, FINISHED
from radenhance.reproduce.tables import train_loss, val_loss

ALLOCATED = {
    metric_names.memory(metric_names.FORWARD, metric_names.ALLOCATED): 70,
    metric_names.memory(metric_names.BACKWARD, metric_names.ALLOCATED): 50,
}


def test_a_spread_holds_the_figure_of_each_seed(scene):
    scene.finish_all(original=(6.0, 7.0, 8.0))
    spread = Results(scene.study).spread("original", val_loss)
    assert spread.by_seed == {0: 6.0, 1: 7.0, 2: 8.0}
    assert spread.mean == 7.0


def test_a_seed_that_is_missing_does_not_shift_the_others(scene):
    scene.finish("original", 0, val=6.0)
    scene.finish("original", 2, val=8.0)
    assert Results(scene.study).spread("original", val_loss).by_seed == {0: 6.0, 2: 8.0}


def test_what_has_not_run_has_no_figures(scene):
    results = Results(scene.study)
    assert results.spread("amp", train_loss) is None
    assert results.comparison("amp", val_loss) is None
    assert results.failures == {}


def test_a_run_that_is_under_way_does_not_count(scene):
    scene.log(scene.run("original"))
    assert Results(scene.study).spread("original", val_loss) is None


def test_a_failed_run_is_kept_with_what_it_said(scene):
    scene.fail("amp", said="radenhance: the loss became nan")
    assert Results(scene.study).failures == {("amp", 512): "radenhance: the loss became nan"}


def test_a_run_that_failed_and_then_finished_has_not_failed(scene):
    scene.finish("amp")
    (scene.run("amp").folder / FAILED).write_text("before")
    assert Results(scene.study).failures == {}


def test_measured_memory_is_the_mean_over_the_seeds(scene):
    scene.finish("amp", 0, memory=ALLOCATED)
    scene.finish("amp", 1, memory={name: 10 + value for name, value in ALLOCATED.items()})
    memory = Results(scene.study).memory("amp", 512)
    assert (memory.forward_mib, memory.backward_mib, memory.origin) == (75, 55, "measured")
    assert memory.total_mib == 130


def test_memory_that_no_gpu_measured_is_planned(scene):
    scene.finish("original")
    memory = Results(scene.study).memory("original", 512)
    assert (memory.forward_mib, memory.backward_mib, memory.origin) == (60, 40, "planned")


def test_resident_memory_of_a_cpu_is_not_taken_for_a_gpus(scene):
    rss = {metric_names.memory(metric_names.FORWARD, metric_names.PROCESS_RSS): 900}
    scene.finish("original", memory=rss)
    assert Results(scene.study).memory("original", 512).origin == "planned"


def test_a_finished_run_without_its_logs_is_refused(scene):
    folder = scene.run("original").folder
    folder.mkdir(parents=True)
    (folder / FINISHED).write_text("{}")
    with pytest.raises(UsageError, match="has no train/loss in its logs; remove that folder"):
        Results(scene.study)
