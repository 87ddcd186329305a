"""Loops over bands of rows, of which whoever only counts bytes runs a few.

A map of 4096 rows in 128 bands runs the same operators 128 times, on tensors of the same shapes.
On fake tensors, which have no values, the third band says all that those after it would say, until
the last three; only how many it stands for has to be known.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Step = TypeVar("Step")

ENDS = 3
"""Steps at either end that run always: they may differ by the edge of the image, and the one after
the first by what the first has left."""


@dataclass
class Shortened:
    """The loops in a block of `shortened`.

    Args:
        weight: Number of steps for which the one that runs now stands.
    """

    weight: int = 1


_shortened: ContextVar[Shortened | None] = ContextVar("shortened", default=None)


@contextmanager
def shortened() -> Iterator[Shortened]:
    """Let loops of `alike` steps run a few of them in the block, for who needs no values."""
    loops = Shortened()
    token = _shortened.set(loops)
    try:
        yield loops
    finally:
        _shortened.reset(token)


def alike(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps of a loop, or, in a block of `shortened`, those that differ.

    For loops that autograd does not record, whose steps take and leave as much memory as the one
    before, but for those at the ends.

    Args:
        steps: Steps of the loop.
    """
    loops, num_alike = _shortened.get(), len(steps) - 2 * ENDS + 1
    if loops is None or num_alike < 2:
        yield from steps
        return
    yield from steps[: ENDS - 1]
    loops.weight *= num_alike
    try:
        yield steps[ENDS - 1]
    finally:
        loops.weight //= num_alike
    yield from steps[-ENDS:]
