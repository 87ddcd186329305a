"""Maps of which a band of rows is read at a time, stored or computed on demand.

    rows of a map   -1 |  0  1  2  3 |  4  5  6  7 |  8  9
                     0 |   band 0    |   band 1    | band 2     bands(10, 4)
                     |________________|                         band 0 and its halo of one row

A 3x3 convolution of a band needs one row more on either side; beyond the edge of the image these
are the zeros that a convolution pads with. Where a process has but some rows of an image, they are
its neighbours' (`neighbours.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from radenhance.repetition import alike


@dataclass(frozen=True)
class Rows:
    """The rows of a map (N, C, H, W), with zeros above the first and below the last one.

    Args:
        num_rows: The number of rows, H.
        within: A function that returns rows [first, last), both in [-above, H + below].
        above: Rows of the image that are known above these, counted by negative numbers.
        below: Rows that are known below them.
    """

    num_rows: int
    within: Callable[[int, int], Tensor]
    above: int = 0
    below: int = 0

    def __call__(self, first: int, last: int) -> Tensor:
        """Return rows [first, last), shape (N, C, last - first, W)."""
        inside_first, inside_last = max(first, -self.above), min(last, self.num_rows + self.below)
        rows = self.within(inside_first, inside_last)
        above, below = inside_first - first, last - inside_last
        return F.pad(rows, (0, 0, above, below)) if above or below else rows

    def then(self, function: Callable[[Tensor], Tensor]) -> "Rows":
        """Return the map that `function`, which works on each pixel alone, makes of this one."""
        return Rows(
            self.num_rows,
            lambda first, last: function(self.within(first, last)),
            self.above,
            self.below,
        )

    def known(self, reach: tuple[int, int]) -> "Rows":
        """Return the same rows, of which some more are known above and below."""
        return Rows(self.num_rows, self.within, *reach)


@dataclass(frozen=True)
class Stored(Rows):
    """The rows of a map that is in memory.

    Args:
        whole: The map, shape (N, C, H, W).
    """

    whole: Tensor = field(kw_only=True)


Strips = tuple[Tensor, Tensor]
"""Rows above a map and below it."""


def stored(whole: Tensor, dtype: torch.dtype | None = None, strips: Strips | None = None) -> Stored:
    """Return the rows of a map in memory, as contiguous tensors of `dtype` or its own dtype.

    Args:
        whole: The map.
        dtype: Type of the rows that are read.
        strips: Rows that are known above and below it.
    """
    num_rows = whole.shape[2]
    above, below = (strip.shape[2] for strip in strips) if strips is not None else (0, 0)

    def within(first: int, last: int) -> Tensor:
        if strips is None or (first >= 0 and last <= num_rows):
            return whole[:, :, first:last].to(dtype or whole.dtype).contiguous()
        parts = [
            strips[0][:, :, max(0, above + first) : max(0, above + min(last, 0))],
            whole[:, :, max(0, first) : max(0, last)],
            strips[1][:, :, max(0, first - num_rows) : max(0, last - num_rows)],
        ]
        return torch.cat(parts, dim=2).to(dtype or whole.dtype)

    return Stored(num_rows, within, above, below, whole=whole)


def remembered(rows: Rows) -> Rows:
    """Return the same rows; those that were computed last are not computed again.

    Nobody may write to them.
    """
    known: list[tuple[int, int, Tensor]] = []

    def within(first: int, last: int) -> Tensor:
        if known:
            start, end, band = known[0]
            if start <= first and last <= end:
                return band[:, :, first - start : last - start].contiguous()
        known.clear()  # before the next ones are there
        known.append((first, last, rows.within(first, last)))
        return known[0][2]

    return Rows(rows.num_rows, within, rows.above, rows.below)


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
