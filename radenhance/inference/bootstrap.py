"""Means with the interval that chance leaves open, and what may be claimed of a difference.

The interval is the percentile bootstrap's (Efron and Tibshirani, An Introduction to the Bootstrap,
1993), with fixed draws. Radiographs of one patient resemble each other, so patients are drawn, each
with all of its radiographs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

NUM_DRAWS = 5000
ENDS = (2.5, 97.5)
"""Percentiles of the draws that are the ends of the interval."""

FEWEST_PATIENTS = 6
"""Fewer can differ in one direction by chance alone more often than once in 20: 2 / 2**5."""

Values = npt.NDArray[np.float64]


class Verdict(Enum):
    """What an interval says of a difference."""

    BEATS = "beats"
    WORSE = "is worse than"
    OPEN = "is not shown to differ from"


@dataclass(frozen=True)
class Mean:
    """A mean over radiographs.

    Args:
        value: The mean.
        interval: Its 95 % interval; None of fewer than FEWEST_PATIENTS patients.
    """

    value: float
    interval: tuple[float, float] | None

    def verdict(self, *, higher_is_better: bool) -> Verdict:
        """Return what it says, as the mean of differences: a claim only if 0 is not inside."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return Verdict.OPEN
        return Verdict.BEATS if (self.interval[0] > 0) == higher_is_better else Verdict.WORSE


def mean_of(values: Values, patients: Sequence[str]) -> Mean:
    """Return the mean of values and its interval.

    Args:
        values: One per radiograph, at least one.
        patients: Whose radiographs they are.
    """
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    counts = np.bincount(index)
    num_patients = len(counts)
    value = float(values.mean())
    if num_patients < FEWEST_PATIENTS:
        return Mean(value, None)
    drawn = np.random.default_rng(0).multinomial(
        num_patients, np.full(num_patients, 1 / num_patients), NUM_DRAWS
    )
    means = (drawn @ np.bincount(index, values)) / (drawn @ counts)
    low, high = np.percentile(means, ENDS)
    return Mean(value, (float(low), float(high)))
