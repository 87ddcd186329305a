"""When and where a run logs."""

from types import SimpleNamespace

import pytest

from radenhance.log_points import (
    gathered,
    is_log_point,
    log_metrics,
    stage_of,
    without_curves,
)


@pytest.mark.parametrize(
    ("every", "step", "expected"), [(2, 4, True), (2, 5, False), (0, 4, False), (1, 7, True)]
)
def test_every_nth_step_is_logged(every, step, expected):
    assert is_log_point(SimpleNamespace(log_every_n_steps=every, global_step=step)) == expected


@pytest.mark.parametrize(("completed", "step"), [(3, 6), (2, 5)])
def test_metrics_go_to_every_logger_at_the_running_step_and_an_epochs_at_its_last(completed, step):
    logged = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append((metrics, step)))
    epoch_loop = SimpleNamespace(_batches_that_stepped=6)
    progress = SimpleNamespace(current=SimpleNamespace(processed=3, completed=completed))
    loop = SimpleNamespace(epoch_loop=epoch_loop, epoch_progress=progress)
    log_metrics(SimpleNamespace(loggers=[logger, logger], fit_loop=loop), {"a": 1.0})
    assert logged == [({"a": 1.0}, step)] * 2


def test_a_rank_is_called_by_its_number_and_a_run_alone_by_nothing():
    alone = SimpleNamespace(strategy=SimpleNamespace(), world_size=1, global_rank=0)
    assert stage_of(alone) is None
    second = SimpleNamespace(strategy=SimpleNamespace(), world_size=2, global_rank=1)
    assert stage_of(second) == "rank1"


def test_a_process_alone_saw_what_it_saw():
    assert gathered("this") == ["this"]


def test_a_defect_in_what_is_logged_is_not_taken_for_a_full_disk():
    with pytest.raises(ValueError, match="no such color"), without_curves():
        raise ValueError("no such color") from TypeError()
