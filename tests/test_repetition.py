"""Loops of steps that are alike: all of them run, or a few that stand for all."""

import pytest

from radenhance.repetition import ENDS, alike, shortened


@pytest.mark.parametrize("num", [0, 1, 2 * ENDS, 100])
def test_every_step_runs_where_nobody_shortens_loops(num):
    assert list(alike(range(num))) == list(range(num))


@pytest.mark.parametrize("num", [0, 1, 2 * ENDS - 1, 2 * ENDS, 2 * ENDS + 1, 100])
def test_the_steps_of_a_shortened_loop_stand_for_all(num):
    with shortened() as loops:
        ran = [(step, loops.weight) for step in alike(range(num))]
    assert sum(weight for _, weight in ran) == num
    assert len(ran) <= 2 * ENDS
    assert {*range(min(num, ENDS)), *range(max(0, num - ENDS), num)} <= {step for step, _ in ran}
    assert list(alike(range(num))) == list(range(num))


def test_a_loop_in_a_loop_stands_for_the_product():
    with shortened() as loops:
        weight = sum(loops.weight for _ in alike(range(40)) for _ in alike(range(9)))
    assert weight == 40 * 9


def test_a_loop_that_is_left_early_weighs_no_more():
    with shortened() as loops:
        for step in alike(range(40)):
            if step == ENDS - 1:
                break
        del step
        assert [loops.weight for _ in alike(range(2))] == [1, 1]
