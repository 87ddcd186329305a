"""Maps of which a band of rows is read at a time, stored or computed on demand.

    rows of a map   -1 |  0  1  2  3 |  4  5  6  7 |  8  9
                     0 |   band 0    |   band 1    | band 2     bands(10, 4)
                     |________________|                         band 0 and its halo of one row

A 3x3 convolution of a band needs one row more on either side; beyond the edge of the image these
are the zeros that a convolution pads with.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.repetition import alike


@dataclass(frozen=True)
class Rows:
    """The rows of a map (N, C, H, W), with zeros above the first and below the last one.

    Args:
        num_rows: The number of rows, H.
        within: A function that returns rows [first, last), both in [0, H].
    """

    num_rows: int
    within: Callable[[int, int], Tensor]

    def __call__(self, first: int, last: int) -> Tensor:
        """Return rows [first, last), shape (N, C, last - first, W)."""
        inside_first, inside_last = max(first, 0), min(last, self.num_rows)
        rows = self.within(inside_first, inside_last)
        above, below = inside_first - first, last - inside_last
        return F.pad(rows, (0, 0, above, below)) if above or below else rows

    def then(self, function: Callable[[Tensor], Tensor]) -> "Rows":
        """Return the map that `function`, which works on each pixel alone, makes of this one."""
        return Rows(self.num_rows, lambda first, last: function(self.within(first, last)))


@dataclass(frozen=True)
class Stored(Rows):
    """The rows of a map that is in memory.

    Args:
        whole: The map, shape (N, C, H, W).
    """

    whole: Tensor


def stored(whole: Tensor, dtype: torch.dtype | None = None) -> Stored:
    """Return the rows of a map in memory, as contiguous tensors of `dtype` or its own dtype."""

    def within(first: int, last: int) -> Tensor:
        return whole[:, :, first:last].to(dtype or whole.dtype).contiguous()

    return Stored(whole.shape[2], within, whole)


def remembered(rows: Rows) -> Rows:
    """Return the same rows; those that were read last are not computed again.

    Nobody may write to them.
    """
    return Rows(rows.num_rows, lru_cache(maxsize=1)(rows.within))


def bands(num_rows: int, band_rows: int) -> Iterator[tuple[int, int]]:
    """Yield [first, last) of each band, all but the last one of `band_rows` rows."""
    for first in alike(range(0, num_rows, band_rows)):
        yield first, min(first + band_rows, num_rows)


def fill(rows: Rows, band_rows: int, into: Tensor | None = None) -> Tensor:
    """Return the whole map.

    Args:
        rows: The rows of the map.
        band_rows: The number of rows that are computed at once.
        into: The tensor to write to, if not a new one. `rows` may read from it what is not yet
            written.
    """
    for first, last in bands(rows.num_rows, band_rows):
        band = rows(first, last)
        if into is None:
            into = band.new_empty(*band.shape[:2], rows.num_rows, band.shape[3])
        into[:, :, first:last] = band
        del band  # the next one is computed beside it otherwise
    assert into is not None
    return into
