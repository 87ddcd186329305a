"""Whether a technique keeps the original's loss, or whether the seeds cannot tell.

Runs of one seed share their first weights and the order of their images, so that the difference
within a seed holds less chance than the difference of two means. The interval is Student's at 95 %.
Nothing is claimed from seeds that scatter more than the difference that the claim would exclude.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.

The last one serves for more of them too: it is larger than theirs, which errs on the safe side.
"""


class Verdict(Enum):
    """What the differences by seed say."""

    KEPT = "kept"
    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True)
class Comparison:
    """Differences of a technique's figure from the original's, seed by seed.

    Args:
        differences: Fractions of the original's mean, one per seed; more than 0 is worse.
    """

    differences: tuple[float, ...]

    @classmethod
    def of(cls, ours: Mapping[int, float], original: Mapping[int, float]) -> "Comparison | None":
        """Return the comparison over the seeds that both have, None if there is none.

        Args:
            ours: Seed -> the technique's figure.
            original: Seed -> the original's figure.
        """
        seeds = sorted(ours.keys() & original.keys())
        if not seeds:
            return None
        mean = statistics.mean(original[seed] for seed in seeds)
        return cls(tuple((ours[seed] - original[seed]) / mean for seed in seeds))

    @property
    def mean(self) -> float:
        """Mean difference, as a fraction of the original's mean."""
        return statistics.mean(self.differences)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean difference; None for a single seed, which has none."""
        num = len(self.differences)
        if num < 2:
            return None
        deviation = statistics.stdev(self.differences) / math.sqrt(num)
        reach = T_95[min(num - 1, len(T_95)) - 1] * deviation
        return self.mean - reach, self.mean + reach

    def verdict(self, margin: float) -> Verdict:
        """Return what the interval shows.

        Args:
            margin: The difference to exclude, as a fraction of the original's mean.
        """
        if self.interval is None:
            return Verdict.NOT_SHOWN
        low, high = self.interval
        if -margin < low and high < margin:
            return Verdict.KEPT
        if high < 0:
            return Verdict.BETTER
        return Verdict.WORSE if low > 0 else Verdict.NOT_SHOWN

    @property
    def beats(self) -> Verdict:
        """Whether the figure is shown to be lower: better, worse or not shown."""
        return self.verdict(margin=0)

    def __str__(self) -> str:
        """Return the differences as a reader takes them: the interval, or the one value."""
        if self.interval is None:
            return f"{self.mean:+.1%} in 1 seed"
        low, high = self.interval
        return f"{low:+.1%} to {high:+.1%} (95% interval over {len(self.differences)} seeds)"
