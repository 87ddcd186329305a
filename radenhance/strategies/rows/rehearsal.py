"""What a process does in a training step by rows, run on fake tensors without the others."""

from typing import Any

from torch import Tensor

from radenhance.rows.link import CountingLink
from radenhance.rows.share import RowShare
from radenhance.strategies.protocol import PhaseEnded, RehearsedRun
from radenhance.strategies.rows.batches import rows_of, share_of
from radenhance.strategies.rows.steps import module_by_rows
from radenhance.strategies.whole import WholePasses


class RowPasses:
    """The passes of the process that needs most: the largest share, between two others if it can.

    Args:
        run: What a fit would give the strategy, with whole images.
        num_processes: Number of processes that share an image.

    Raises:
        ImageSizeError: The images have too few rows.
    """

    def __init__(self, run: RehearsedRun, num_processes: int) -> None:
        self._module = run.module
        self._passes = WholePasses(run.module, run.precision)
        shares = [share_of(run.batch, CountingLink(i, num_processes)) for i in range(num_processes)]
        self.share = max(shares, key=_demand)
        assert isinstance(self.share, RowShare)
        self.link = self.share.link

    def run(self, batch: Any, phase_ended: PhaseEnded) -> None:
        """Leave the gradients of a batch, of which it has its rows, in the parameters."""
        with module_by_rows(self._module, self.share):
            self._passes.run(batch, phase_ended)

    def rows_of(self, batch: Any) -> Any:
        """Return a batch with the rows of this process."""
        return rows_of(batch, self.share)

    def tensors(self) -> list[Tensor]:
        """Return all parameters and buffers."""
        return self._passes.tensors()


def _demand(share: object) -> tuple[int, bool]:
    assert isinstance(share, RowShare)
    neighbours = 0 < share.link.rank < share.link.num_processes - 1
    return share.own.stop - share.own.start, neighbours
