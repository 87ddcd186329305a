"""Which rows of an image a process holds, at every size that its maps have.

Shares begin at multiples of 32 rows, the deepest stride, so that at every stage of a U-Net they
begin between two rows; the last one may end anywhere, as the image does. A process whose tensors
are whole images has a share too, `WHOLE`, which is all of it: what is computed over all rows, such
as a mean, is then written once.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from radenhance.errors import ImageSizeError
from radenhance.rows.halo import Halo
from radenhance.rows.link import Link

UNIT = 32
"""Rows, and columns, that are one in a network's deepest map."""

STRIDES = (1, 2, 4, 8, 16, 32)


class Share:
    """All rows of an image."""

    is_whole: ClassVar[bool] = True
    """Whether these are all rows; of copies, too, that a module's copies have."""

    def below(self, maps: Tensor, num_rows: int, scale: int) -> Tensor:
        """Return maps with rows of the image below them, as many as there are.

        Args:
            maps: The rows of the share, shape (N, C, H, W).
            num_rows: Rows that are needed.
            scale: Number of times that the image was halved.
        """
        return maps

    def returned(self, gradient: Tensor, num_rows: int, scale: int) -> Tensor:
        """Return the gradient of the share from that of what `below` returned."""
        return gradient

    def num_rows(self, maps: Tensor, scale: int) -> int:
        """Return the rows of the whole image of which `maps` has some."""
        return maps.shape[-2]

    def add_up(self, sums: Tensor) -> Tensor:
        """Return sums over the rows of all processes, in place."""
        return sums

    def mean(self, maps: Tensor, scale: int, dtype: torch.dtype, *, margin: int = 0) -> Tensor:
        """Return the mean of each map over all rows, shape (N, C, 1, 1).

        Args:
            maps: The rows of the share, shape (N, C, H, W).
            scale: Number of times that the image was halved.
            dtype: Type of the mean.
            margin: Rows by which all maps together are fewer than the image.
        """
        return maps.mean(dim=(2, 3), keepdim=True, dtype=dtype)


WHOLE = Share()


class RowShare(Share):
    """The rows of an image that this process holds.

    Args:
        link: The processes that share the image.
        bounds: First row of each one's share, and the number of rows of the image.
        columns: Columns of the image.
    """

    is_whole = False

    def __init__(self, link: Link, bounds: Sequence[int], columns: int) -> None:
        self.link = link
        self.bounds = tuple(bounds)
        self.columns = columns

    @property
    def own(self) -> slice:
        """This process's rows of the image."""
        return slice(*self.bounds[self.link.rank : self.link.rank + 2])

    @cached_property
    def _strides(self) -> dict[tuple[int, int], int]:
        """Rows and columns of this process's maps in a network -> their stride."""
        rows, columns = -(-(self.own.stop - self.own.start) // UNIT), -(-self.columns // UNIT)
        return {(rows * UNIT // s, columns * UNIT // s): s for s in STRIDES}

    def is_map(self, tensor: Tensor) -> bool:
        """Return whether a tensor has the shape of some rows of a map of the network."""
        return tensor.dim() == 4 and tuple(tensor.shape[2:]) in self._strides

    def stride_of(self, features: Tensor) -> int:
        """Return the rows of the image that are one row of a map."""
        return self._strides[features.shape[2], features.shape[3]]

    def bounds_at(self, stride: int) -> list[int]:
        """Return the bounds of the shares of a map of the network, which is padded below."""
        return [-(-bound // UNIT) * (UNIT // stride) for bound in self.bounds]

    def bounds_of(self, num_rows: int) -> list[int]:
        """Return the bounds of the shares of a map, of which this process has some rows."""
        return self.bounds_at(-(-(self.own.stop - self.own.start) // UNIT) * UNIT // num_rows)

    def halo_of(self, features: Tensor, above: int, below: int) -> Halo:
        """Return the halo of a map of the network."""
        return Halo(self.link, self.bounds_at(self.stride_of(features)), above, below)

    @override
    def below(self, maps: Tensor, num_rows: int, scale: int) -> Tensor:
        _, rows = self._image_halo(num_rows, scale).fetch(maps)()
        return torch.cat([maps, rows], dim=2)

    @override
    def returned(self, gradient: Tensor, num_rows: int, scale: int) -> Tensor:
        halo = self._image_halo(num_rows, scale)
        end = gradient.shape[2] - halo.num_below
        own = gradient[:, :, :end]
        halo.give_back(gradient[:, :, :0], gradient[:, :, end:])(own)
        return own

    @override
    def num_rows(self, maps: Tensor, scale: int) -> int:
        return self._image_bounds(scale)[-1]

    @override
    def add_up(self, sums: Tensor) -> Tensor:
        return self.link.add_up(sums)

    @override
    def mean(self, maps: Tensor, scale: int, dtype: torch.dtype, *, margin: int = 0) -> Tensor:
        sums = maps.sum(dim=(2, 3), keepdim=True, dtype=torch.float64)
        num_values = (self._image_bounds(scale)[-1] - margin) * maps.shape[3]
        return (self.link.add_up(sums) / num_values).to(dtype)

    def _image_halo(self, num_rows: int, scale: int) -> Halo:
        return Halo(self.link, self._image_bounds(scale), 0, num_rows)

    def _image_bounds(self, scale: int) -> list[int]:
        return [-(-bound // 2**scale) for bound in self.bounds]


def share_out(num_rows: int, columns: int, num_processes: int) -> list[int]:
    """Return the bounds of each process's share: multiples of 32, and the image's last row.

    The shares differ by 32 rows at most; the last ones, which have but one neighbour or are
    completed by reflection, are the larger ones.

    Args:
        num_rows: Rows of the image.
        columns: Columns of the image.
        num_processes: Number of processes.

    Raises:
        ImageSizeError: The image has too few rows or columns.
    """
    units = -(-num_rows // UNIT)
    fewer = [units // num_processes] * (num_processes - units % num_processes)
    sizes = fewer + [units // num_processes + 1] * (units % num_processes)
    bounds = [UNIT * bound for bound in accumulate(sizes, initial=0)]
    last = num_rows - bounds[-2]
    if not sizes[0] or -num_rows % UNIT >= last or columns <= UNIT:
        raise ImageSizeError(
            f"images of {num_rows} rows and {columns} columns cannot be divided by rows over "
            f"{num_processes} processes, expected at least {UNIT * num_processes + UNIT // 2} rows "
            f"and {UNIT + 1} columns; use larger images, or fewer processes for each "
            f"(RowsStrategy.processes_per_image)"
        )
    return [*bounds[:-1], num_rows]
