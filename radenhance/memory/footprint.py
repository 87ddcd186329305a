"""Bytes of tensors that are alive while something runs, of real or of fake tensors.

Fake tensors have shape, type and device and no content, so that a training step of any size is
measured in seconds on a machine that could never run it. What a GPU takes beyond its tensors (the
CUDA context, workspaces of cuDNN, rounding and fragmentation in the allocator) is not in these
figures.

PyTorch's own MemTracker counts the same by hooks on modules, in up to four times the time, and does
not tell host from device where a CPU plays the device; a test holds the two together.
"""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from radenhance.compat.torch import TorchDispatchMode, is_traceable_wrapper_subclass, tensors_in

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

    Tensors made while it is entered count under the `kind` that is set then; `kinds_at_peak` has
    the bytes of each kind. A sharded tensor counts with this process's shard.

    Args:
        device_type: Type of the devices whose tensors are counted, such as cuda, or None for all.
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
        self._sizes: dict[int, int] = {}

    def reset_peak(self) -> None:
        """Start a new peak at what is alive now."""
        self.peak_bytes = self.live_bytes
        self.kinds_at_peak = self._kinds.copy()

    def count(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that were made before it was entered."""
        for tensor in tensors:
            for part in _parts(tensor):
                self._count(part.untyped_storage())

    def relabel(self, tensor: Tensor, kind: str) -> None:
        """Count the storage of `tensor` under another kind from now on."""
        for part in _parts(tensor):
            key = id(part.untyped_storage())
            if key in self._known:
                self._kinds[self._known[key]] -= self._sizes[key]
                self._kinds[kind] += self._sizes[key]
                self._known[key] = kind

    @override
    def __enter__(self) -> Self:
        resize = torch.UntypedStorage.resize_

        def resized(storage: torch.UntypedStorage, size: int) -> Any:
            result = resize(storage, size)
            self._resize(storage)
            return result

        self._resize_before = resize
        # FSDP2 frees and refills gathered parameters so, which no operator shows
        torch.UntypedStorage.resize_ = resized  # type: ignore[method-assign, assignment]
        return super().__enter__()  # type: ignore[no-any-return, no-untyped-call]

    @override
    def __exit__(self, *reason: Any) -> None:
        torch.UntypedStorage.resize_ = self._resize_before  # type: ignore[method-assign]
        super().__exit__(*reason)  # type: ignore[no-untyped-call]

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and count what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            # to ask a fake tensor for its device takes as long as an operator
            if self._device_type is None or tensor.device.type == self._device_type:
                self.count([tensor])
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)  # of all its tensors, as long as one is alive
        if key in self._known:
            return
        self._known[key] = self.kind
        self._sizes[key] = storage.nbytes()
        if _on_host.get():
            self.host_bytes += storage.nbytes()
            self.host_peak_bytes = max(self.host_peak_bytes, self.host_bytes)
            weakref.finalize(storage, self._forget_on_host, key)
            return
        self._add(self.kind, storage.nbytes())
        weakref.finalize(storage, self._forget, key)

    def _add(self, kind: str, num_bytes: int) -> None:
        self.live_bytes += num_bytes
        self._kinds[kind] += num_bytes
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
            self.kinds_at_peak = self._kinds.copy()

    def _resize(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key in self._known:
            self._add(self._known[key], storage.nbytes() - self._sizes[key])
            self._sizes[key] = storage.nbytes()

    def _forget(self, key: int) -> None:
        self._add(self._known.pop(key), -self._sizes.pop(key))

    def _forget_on_host(self, key: int) -> None:
        del self._known[key]
        self.host_bytes -= self._sizes.pop(key)


def _parts(tensor: Tensor) -> list[Tensor]:
    """Return the tensors that hold the memory of `tensor`: of a DTensor, its shard."""
    flat: Any = tensor
    if not is_traceable_wrapper_subclass(flat):
        return [tensor]
    names, _ = flat.__tensor_flatten__()
    inner = [getattr(tensor, name) for name in names]
    return [part for one in inner if isinstance(one, Tensor) for part in _parts(one)]
