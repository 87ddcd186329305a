"""What a banded stage asks of other processes, where each has some rows of the image.

Bands compute maps anew from the maps before them, rows of neighbours too. So a stage needs rows of
its inputs alone, once each way, and no other process's maps:

    gradient of the output 3    z2 and its gradient 2    z1 3    small map 3    skip 4

The sums over all bands, of statistics and of BatchNorm's gradient, are those over all processes.
Without other processes all of this is nothing.
"""

from dataclasses import dataclass

from torch import Tensor

from radenhance.memory.banding.bands import Rows, Strips, stored
from radenhance.rows.share import RowShare
from radenhance.rows.statistics import combined

SMALL, SKIP, IMAGE = (3, 3), (4, 4), (11, 10)
"""Rows above and below that are needed of a stage's inputs: small map, skip, and a stem's image."""


@dataclass(frozen=True)
class Neighbours:
    """The other processes of an image.

    Args:
        share: Which rows of the image this process has; None where it has all.
    """

    share: RowShare | None = None

    def strips(self, rows: Tensor, reach: tuple[int, int]) -> Strips | None:
        """Return rows beside those of this process, as many as there are, from the others."""
        if self.share is None:
            return None
        return self.share.halo_of(rows, *reach).fetch(rows)()

    def reach(self, num_rows: int, wanted: int) -> tuple[int, int]:
        """Return how many rows of the image there are above and below, of those wanted.

        Args:
            num_rows: This process's rows of the map.
            wanted: Rows wanted.
        """
        if self.share is None:
            return 0, 0
        bounds, rank = self.share.bounds_of(num_rows), self.share.link.rank
        return min(wanted, bounds[rank]), min(wanted, bounds[-1] - bounds[rank + 1])

    def with_edges(self, own: Tensor, rows: Rows) -> Rows:
        """Return a map in memory, with the rows that are known beside it computed now.

        Args:
            own: This process's rows of it.
            rows: The same map.
        """
        if self.share is None:
            return stored(own)
        num, nothing = rows.num_rows, own[:, :, :0]
        above = rows(-rows.above, 0) if rows.above else nothing
        below = rows(num, num + rows.below) if rows.below else nothing
        return stored(own, None, (above, below))

    def add_up(self, sums: Tensor) -> Tensor:
        """Return sums over the bands of all processes."""
        return sums if self.share is None else self.share.link.add_up(sums.clone())

    def combined(
        self, moments: tuple[Tensor, Tensor], num_values: int, num_rows: int
    ) -> tuple[Tensor, Tensor, int]:
        """Return mean, variance and number of all processes' values.

        Args:
            moments: Mean and variance of this process's values.
            num_values: Their number.
            num_rows: This process's rows of the map.
        """
        if self.share is None:
            return *moments, num_values
        total = num_values // num_rows * self.share.bounds_of(num_rows)[-1]
        return *combined(self.share.link, *moments, num_values), total


ALONE = Neighbours()
