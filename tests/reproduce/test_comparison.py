"""What seeds can show, and what they cannot."""

import math

import pytest
from scipy import stats

from radenhance.reproduce.comparison import T_95, Comparison, Verdict

KEPT, BETTER, WORSE, NOT_SHOWN = Verdict


def test_differences_are_of_the_same_seed_and_relative_to_the_original():
    compared = Comparison.of({0: 11.0, 1: 19.0, 2: 99.0}, {1: 20.0, 0: 10.0})
    assert compared.differences == pytest.approx((1 / 15, -1 / 15))


def test_recipes_without_a_common_seed_are_not_compared():
    assert Comparison.of({0: 1.0}, {1: 1.0}) is None


def test_seeds_that_move_together_do_not_widen_the_interval():
    compared = Comparison.of({0: 18.1, 1: 23.1, 2: 20.1}, {0: 18.0, 1: 23.0, 2: 20.0})
    low, high = compared.interval
    assert high - low < 1e-9
    assert compared.verdict(0.02) is KEPT


@pytest.mark.parametrize("num", [2, 3, 5, 11])
def test_the_interval_is_students(num):
    differences = tuple(math.sin(i) for i in range(num))
    expected = stats.t.interval(0.95, num - 1, sum(differences) / num, stats.sem(differences))
    assert Comparison(differences).interval == pytest.approx(expected, rel=1e-3)


def test_the_interval_of_many_seeds_is_never_too_narrow():
    assert min(T_95) >= stats.t.ppf(0.975, len(T_95) + 1)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.0, 0.0), KEPT),
        ((0.001, -0.001, 0.0), KEPT),
        ((0.005, 0.006, 0.0055), KEPT),  # worse for sure, but by less than was asked
        ((0.10, 0.11, 0.105), WORSE),
        ((-0.10, -0.11, -0.105), BETTER),
        ((-0.05, 0.0), NOT_SHOWN),  # the committed study: a mean that looks better
        ((0.0, 0.2, -0.2), NOT_SHOWN),  # the mean alone is equal
        ((-0.3, 0.1, -0.2), NOT_SHOWN),
    ],
)
def test_a_verdict_needs_an_interval_narrower_than_its_claim(differences, verdict):
    assert Comparison(differences).verdict(0.02) is verdict


def test_scatter_up_to_the_claim_shows_nothing_however_good_the_mean():
    scattered = Comparison((-0.03, 0.03, -0.02, 0.02))
    assert scattered.verdict(0.02) is NOT_SHOWN
    assert scattered.verdict(0.2) is KEPT


def test_one_seed_shows_nothing_even_if_equal():
    assert Comparison((0.0,)).interval is None
    assert Comparison((0.0,)).verdict(0.02) is NOT_SHOWN


def test_it_reads_as_an_interval_or_as_the_one_value():
    assert str(Comparison((0.03,))) == "+3.0% in 1 seed"
    assert str(Comparison((0.01, 0.01))) == "+1.0% to +1.0% (95% interval over 2 seeds)"
