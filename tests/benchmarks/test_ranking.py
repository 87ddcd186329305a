"""How well a plan orders recipes by time, in pairs."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("planned", "measured", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], (3, 3)),
        ([3, 2, 1], [10, 20, 30], (0, 3)),
        ([1, 3, 2], [10, 20, 30], (2, 3)),
        ([2, 1, 3], [10, 10.2, 30], (2, 2)),  # 2 % is no order
        ([1, 1], [10, 20], (0, 1)),
    ],
)
def test_pairs_that_the_clock_tells_apart_are_counted(planned, measured, expected, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from ranking import pairs_in_order

    assert pairs_in_order(planned, measured) == expected
