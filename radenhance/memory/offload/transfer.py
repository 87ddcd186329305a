"""Copies between the memory of a device and that of its host."""

import torch
from torch import Tensor
from typing_extensions import override

from radenhance.compat.torch import FakeTensor


def transfer_of(tensor: Tensor) -> "Transfer":
    """Return how tensors on the device of this one are copied."""
    if tensor.device.type == "cuda" and not isinstance(tensor, FakeTensor):
        return SideStream(tensor.device)
    return Transfer(tensor.device)


class Transfer:
    """Copies that are done when the call returns: on a CPU, and of fake tensors.

    Args:
        device: The tensors' device; the host's side of the copies is plain memory.
    """

    pinned = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def to_host(self, data: Tensor, host: Tensor) -> None:
        """Copy to the host; `data` may be freed at once."""
        host.copy_(data)

    def to_device(self, host: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Return a copy on the device, and what to `wait` for before using it."""
        return torch.empty_like(host, device=self.device).copy_(host), None

    def wait(self, copied: torch.cuda.Event | None) -> None:
        """Let what is computed from now on see the copy."""


class SideStream(Transfer):
    """Copies on a CUDA stream of their own, while the network computes on its stream.

    Both directions share the one stream. So a piece of host memory that was given back and taken
    again is written after whatever was copied from it before, and no copy waits for the CPU.
    """

    pinned = True

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @override
    def to_host(self, data: Tensor, host: Tensor) -> None:
        # the kernel that computes `data` may not have run yet
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            host.copy_(data, non_blocking=True)
        # freed before the copy has read it, its memory would be given to the next activation
        data.record_stream(self._stream)

    @override
    def to_device(self, host: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        # made on the computing stream, so that its memory is of that stream's pool and can be an
        # activation again; kernels queued there may still use what was in it, hence the wait
        data = torch.empty_like(host, device=self.device)
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            data.copy_(host, non_blocking=True)
        # fetched ahead and never used, it is freed without anybody having waited for the copy
        data.record_stream(self._stream)
        return data, self._stream.record_event()

    @override
    def wait(self, copied: torch.cuda.Event | None) -> None:
        assert copied is not None
        torch.cuda.current_stream(self.device).wait_event(copied)
