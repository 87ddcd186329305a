"""Halos: the rows of its neighbours that a process needs beside its own.

    process 0   process 1   process 2        a window of three rows around each of process 1's
    0 1 2 3   | 4 5 6 7   | 8 9                       3 [4 5 6 7] 8

Whose rows they are is a question of the bounds of all shares alone, so that every process knows
without asking what it sends and what it gets; where shares are few rows high, a halo comes from
several processes. The gradient of a halo goes the way back, and is added where the rows came from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from radenhance.rows.link import Link


@dataclass(frozen=True)
class Halo:
    """The rows above and below the shares of a map.

    Args:
        link: The processes.
        bounds: First row of each share, and the number of rows of the map.
        above: Rows that are needed above a share.
        below: Rows that are needed below it.
    """

    link: Link
    bounds: Sequence[int]
    above: int
    below: int

    @property
    def num_above(self) -> int:
        """Rows that there are above this process's share, of those that are needed."""
        return min(self.above, self.bounds[self.link.rank])

    @property
    def num_below(self) -> int:
        """Rows that there are below it."""
        return min(self.below, self.bounds[-1] - self.bounds[self.link.rank + 1])

    def fetch(self, rows: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
        """Begin to exchange; what is returned waits, and returns the rows above and below.

        Args:
            rows: This process's share, shape (N, C, H, W).
        """
        own = self.link.rank
        sent = {
            rank: rows[:, :, slice(*self._wanted(rank, own, self.bounds[own]))].contiguous()
            for rank in self._readers()
        }
        awaited = {rank: _some(rows, *self._wanted(own, rank)) for rank in self._owners()}
        wait = self.link.exchange(sent, awaited)

        def result() -> tuple[Tensor, Tensor]:
            wait()
            above = [awaited[rank] for rank in awaited if rank < own]
            below = [awaited[rank] for rank in awaited if rank > own]
            return _joined(above, rows), _joined(below, rows)

        return result

    def give_back(self, above: Tensor, below: Tensor) -> Callable[[Tensor], None]:
        """Begin to return gradients of halos.

        Args:
            above: Gradient of the rows above.
            below: Gradient of the rows below.

        Returns:
            A function that waits, and adds the gradients that came to that of this process's share.
        """
        own, first = self.link.rank, self.bounds[self.link.rank]
        starts = {True: first - self.num_above, False: self.bounds[own + 1]}
        sent = {
            rank: (above if rank < own else below)[
                :, :, slice(*self._wanted(own, rank, starts[rank < own]))
            ].contiguous()
            for rank in self._owners()
        }
        awaited = {rank: _some(above, *self._wanted(rank, own)) for rank in self._readers()}
        wait = self.link.exchange(sent, awaited)

        def add(into: Tensor) -> None:
            wait()
            for rank, gradient in awaited.items():
                into[:, :, slice(*self._wanted(rank, own, first))] += gradient

        return add

    def _wanted(self, reader: int, owner: int, start: int = 0) -> tuple[int, int]:
        """Return which of an owner's rows a reader needs, counted from a row."""
        first, last = self.bounds[owner], self.bounds[owner + 1]
        if owner < reader:
            first = max(first, self.bounds[reader] - self.above)
        else:
            last = min(last, self.bounds[reader + 1] + self.below)
        return first - start, max(first, last) - start

    def _owners(self) -> list[int]:
        """Return the processes of which this one needs rows."""
        return [rank for rank in self._others() if _is_some(self._wanted(self.link.rank, rank))]

    def _readers(self) -> list[int]:
        """Return the processes that need rows of this one."""
        return [rank for rank in self._others() if _is_some(self._wanted(rank, self.link.rank))]

    def _others(self) -> list[int]:
        return [rank for rank in range(self.link.num_processes) if rank != self.link.rank]


def extended(rows: Tensor, halo: Halo) -> Tensor:
    """Return a share and those rows of its halo that there are, differentiably.

    Args:
        rows: Shape (N, C, H, W).
        halo: The halo.
    """
    result: Tensor = _Extended.apply(rows, halo)
    return result


class _Extended(torch.autograd.Function):
    @staticmethod
    @override
    def forward(ctx: Any, rows: Tensor, halo: Halo) -> Tensor:
        ctx.halo = halo
        above, below = halo.fetch(rows)()
        return torch.cat([above, rows, below], dim=2)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return own_gradient(gradients[0], ctx.halo), None


def own_gradient(gradient: Tensor, halo: Halo) -> Tensor:
    """Return the gradient of a share from that of the share and its halo, others' added.

    Args:
        gradient: Shape (N, C, H + rows of the halo, W).
        halo: The halo.
    """
    above, below = halo.num_above, halo.num_below
    num_rows = gradient.shape[2] - above - below
    own = gradient[:, :, above : above + num_rows].contiguous()
    halo.give_back(gradient[:, :, :above], gradient[:, :, above + num_rows :])(own)
    return own


def _is_some(rows: tuple[int, int]) -> bool:
    return rows[0] < rows[1]


def _some(like: Tensor, first: int, last: int) -> Tensor:
    return like.new_empty((*like.shape[:2], last - first, like.shape[3]))


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts, dim=2) if parts else _some(like, 0, 0)
