from types import SimpleNamespace

import pytest

from radenhance import metric_names
from radenhance.callbacks import stopwatch
from radenhance.callbacks.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def logged(monkeypatch):
    seen = {}
    monkeypatch.setattr(stopwatch, "log_metrics", lambda trainer, metrics: seen.update(metrics))
    return seen


def test_a_step_is_the_mean_since_the_last_figure_without_validation(clock, logged):
    watch = Stopwatch()
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=4)
    watch.on_train_start(trainer, None)
    watch.on_train_epoch_start(trainer, None)
    clock.now += 8
    watch.on_validation_start(trainer, None)
    clock.now += 30
    watch.on_validation_end(trainer, None)
    trainer.global_step = 4
    watch.on_train_batch_end(trainer, None, None, None, 3)
    assert logged == {metric_names.STEP_S: 2}


def test_an_epoch_has_its_validation_in_it(clock, logged):
    watch = Stopwatch()
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=100)
    watch.on_train_start(trainer, None)
    watch.on_train_epoch_start(trainer, None)
    clock.now += 10
    watch.on_validation_start(trainer, None)
    clock.now += 30
    watch.on_validation_end(trainer, None)
    trainer.global_step = 5
    watch.on_train_epoch_end(trainer, None)
    assert logged == {metric_names.STEP_S: 2, metric_names.EPOCH_S: 40}


def test_an_epoch_that_began_before_the_run_is_not_timed(clock, logged):
    watch = Stopwatch()
    trainer = SimpleNamespace(global_step=3, log_every_n_steps=100)
    watch.on_train_start(trainer, None)  # resumed in the middle
    clock.now += 10
    watch.on_train_epoch_end(trainer, None)
    assert logged == {}
