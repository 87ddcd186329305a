"""Host memory of a fixed size, from which pieces are taken and given back.

It is made once, because pinning is slow (a second for a few GiB) and because memory that is pinned
anew for each tensor may grow: PyTorch's own allocator of pinned memory rounds every request up to a
power of two and keeps it. So the budget is kept to the byte, whatever sizes the images have.
"""

import os
import weakref

import torch
from torch import Tensor

from radenhance.compat.torch import FakeTensor
from radenhance.errors import UsageError
from radenhance.memory.footprint import on_host
from radenhance.units import MIB

_PORTABLE = 1
"""cudaHostRegisterPortable: pinned for every GPU of the process (CUDA Runtime API, Memory)."""


class HostMemory:
    """Pieces of one block of host memory.

    Args:
        num_bytes: The size of the block.
        pinned: Whether a GPU copies to and from it, which it does without the CPU's help only when
            the memory cannot be moved.

    Raises:
        UsageError: The machine does not have that much.
    """

    def __init__(self, num_bytes: int, *, pinned: bool) -> None:
        self.num_bytes = num_bytes
        self.peak_bytes = 0
        self._taken: dict[int, int] = {}  # start -> end
        self._block = _block(num_bytes)
        if pinned:
            _pin(self._block)

    @property
    def taken_bytes(self) -> int:
        """Bytes of the pieces that are in use."""
        return sum(end - start for start, end in self._taken.items())

    def take(self, num_bytes: int) -> Tensor | None:
        """Return a piece, shape (num_bytes,), or None if there is no room.

        It is given back when nothing refers to the returned tensor any more; whoever copies to or
        from it later than that must do so in the order in which pieces were taken.
        """
        start = self._first_gap(num_bytes)
        if start is None:
            return None
        self._taken[start] = start + num_bytes
        self.peak_bytes = max(self.peak_bytes, self.taken_bytes)
        piece = self._block[start : start + num_bytes]
        weakref.finalize(piece, self._taken.pop, start)
        return piece

    def _first_gap(self, num_bytes: int) -> int | None:
        end_of_last = 0
        for start, end in sorted(self._taken.items()):
            if start - end_of_last >= num_bytes:
                break
            end_of_last = end
        return end_of_last if end_of_last + num_bytes <= self.num_bytes else None


def _block(num_bytes: int) -> Tensor:
    refusal = (
        f"MemoryTechniques.offload_mib asks for {num_bytes // MIB} MiB of host memory, and this "
        f"machine has {_physical_bytes() // MIB}; ask for less"
    )
    try:
        with on_host():
            block = torch.empty(num_bytes, dtype=torch.uint8, device="cpu")
    except RuntimeError as error:
        raise UsageError(refusal) from error
    # fake memory stands for that of another machine
    if not isinstance(block, FakeTensor) and num_bytes > _physical_bytes():
        raise UsageError(refusal)
    return block


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _pin(block: Tensor) -> None:
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    code = int(runtime.cudaHostRegister(block.data_ptr(), block.nbytes, _PORTABLE))
    if code != 0:
        raise UsageError(
            f"{block.nbytes // MIB} MiB of host memory could not be pinned (CUDA error {code}); "
            f"ask for less with MemoryTechniques.offload_mib, or raise the limit (ulimit -l)"
        )
    weakref.finalize(block, _unpin, block.data_ptr()).atexit = False


def _unpin(address: int) -> None:
    # the last copies may still run; it must not be anybody else's memory before they are done
    torch.cuda.synchronize()
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    runtime.cudaHostUnregister(address)
