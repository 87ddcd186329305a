"""Bytes of tensors that are alive while something runs, of real or of fake tensors.

Fake tensors have shape, type and device and no content, so that a training step of any size is
measured in seconds on a machine that could never run it. What a GPU takes beyond its tensors (the
CUDA context, workspaces of cuDNN, rounding and fragmentation in the allocator) is not in these
figures.
"""

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from radenhance.compat.torch import TorchDispatchMode, tensors_in

_on_host: ContextVar[bool] = ContextVar("on_host", default=False)


@contextmanager
def on_host() -> Iterator[None]:
    """Let a `Footprint` count what is made in the block as memory of the host.

    A device's tensors wait there; where a CPU plays the device, nothing else tells the two apart.
    """
    token = _on_host.set(True)
    try:
        yield
    finally:
        _on_host.reset(token)


class Footprint(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that are made while it is entered, each once.

    with FakeTensorMode(), Footprint() as footprint:
        step()
    footprint.peak_bytes

    A storage counts as of the `kind` that is set when it is made; `kinds_at_peak` are the bytes of
    each kind.

    Args:
        device_type: The type of the devices whose tensors are counted, such as cuda; of all devices
            by default.
    """

    def __init__(self, device_type: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = 0
        self.peak_bytes = 0
        self.host_bytes = 0
        self.host_peak_bytes = 0
        self.kind = ""
        self.kinds_at_peak: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._device_type = device_type
        self._known: dict[int, str] = {}

    def reset_peak(self) -> None:
        """Start a new peak at what is alive now."""
        self.peak_bytes = self.live_bytes
        self.kinds_at_peak = self._kinds.copy()

    def relabel(self, tensor: Tensor, kind: str) -> None:
        """Count the storage of `tensor` as of another kind from now on."""
        storage = tensor.untyped_storage()
        if id(storage) in self._known:
            self._kinds[self._known[id(storage)]] -= storage.nbytes()
            self._kinds[kind] += storage.nbytes()
            self._known[id(storage)] = kind

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and count what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            if self._device_type in (None, tensor.device.type):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)  # of all its tensors, as long as one is alive
        if key in self._known:
            return
        self._known[key] = self.kind
        num_bytes = storage.nbytes()
        if _on_host.get():
            self.host_bytes += num_bytes
            self.host_peak_bytes = max(self.host_peak_bytes, self.host_bytes)
            weakref.finalize(storage, self._forget_on_host, key, num_bytes)
            return
        self.live_bytes += num_bytes
        self._kinds[self.kind] += num_bytes
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
            self.kinds_at_peak = self._kinds.copy()
        weakref.finalize(storage, self._forget, key, num_bytes)

    def _forget(self, key: int, num_bytes: int) -> None:
        self._kinds[self._known.pop(key)] -= num_bytes
        self.live_bytes -= num_bytes

    def _forget_on_host(self, key: int, num_bytes: int) -> None:
        del self._known[key]
        self.host_bytes -= num_bytes
