"""Intervals of means, and what may be claimed."""

import numpy as np
import pytest

from radenhance.inference.bootstrap import FEWEST_PATIENTS, Mean, Verdict, mean_of

RANDOM = np.random.default_rng(0)


def patients(number):
    return [f"p{i}" for i in range(number)]


def test_the_interval_is_about_two_standard_errors_to_each_side():
    values = RANDOM.normal(5, 2, 400)
    mean = mean_of(values, patients(400))
    assert mean.value == pytest.approx(values.mean())
    error = values.std() / 20
    ends = values.mean() - 1.96 * error, values.mean() + 1.96 * error
    assert mean.interval == pytest.approx(ends, abs=0.1 * error)


def test_the_interval_holds_the_truth_in_about_95_percent():
    held = 0
    for seed in range(60):
        low, high = mean_of(np.random.default_rng(seed).normal(0, 1, 40), patients(40)).interval
        held += low < 0 < high
    assert 52 <= held <= 60


def test_the_same_radiographs_give_the_same_interval():
    values = RANDOM.normal(size=20)
    assert mean_of(values, patients(20)) == mean_of(values, patients(20))


def test_radiographs_of_one_patient_count_as_one_draw():
    values = np.repeat(RANDOM.normal(size=10), 10)
    owners = np.repeat(patients(10), 10).tolist()
    low, high = mean_of(values, owners).interval
    narrow_low, narrow_high = mean_of(values, patients(100)).interval
    assert high - low > 2 * (narrow_high - narrow_low)


def test_few_patients_have_a_mean_and_no_interval():
    few = FEWEST_PATIENTS - 1
    assert mean_of(np.arange(float(few)), patients(few)) == Mean((few - 1) / 2, None)
    assert mean_of(np.ones(few + 1), patients(few + 1)).interval == (1, 1)


@pytest.mark.parametrize(
    ("interval", "higher", "lower"),
    [
        ((0.1, 0.2), Verdict.BEATS, Verdict.WORSE),
        ((-0.2, -0.1), Verdict.WORSE, Verdict.BEATS),
        ((-0.1, 0.2), Verdict.OPEN, Verdict.OPEN),
        ((0.0, 0.0), Verdict.OPEN, Verdict.OPEN),
        (None, Verdict.OPEN, Verdict.OPEN),
    ],
)
def test_a_claim_needs_an_interval_without_0(interval, higher, lower):
    difference = Mean(0.1, interval)
    assert difference.verdict(higher_is_better=True) is higher
    assert difference.verdict(higher_is_better=False) is lower
