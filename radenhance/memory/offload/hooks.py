"""Activations that wait on the host between the forward and the backward pass.

What autograd saves first it needs last: the skips of the U-Net, and the encoder at full resolution.
So whatever is saved goes to the host as it comes, until the budget is used up; what is saved after
that is needed again soon and stays.

    forward     save f0   save f1   ...   save z (no room left: stays)
                   |copy     |copy
    host          [f0]      [f1]                       takes back
                                          use z   ...   f1   f0
    backward                                     fetch f1 | fetch f0 while f1 is used

Autograd's own `save_on_cpu` copies a tensor as often as it is saved (the output of a ReLU by the
ReLU and by the next convolution), copies parameters too, and fetches each when it is needed. Here a
storage is copied once, parameters, buffers and the image stay, and one storage is fetched ahead.

With checkpointing, what autograd saves are the inputs of the recomputed parts.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from typing_extensions import override

from radenhance.compat.torch import version_of
from radenhance.errors import ParameterError
from radenhance.memory.offload.host_memory import HostMemory
from radenhance.memory.offload.transfer import Transfer, transfer_of
from radenhance.memory.technique import Technique
from radenhance.network.stages import Stage
from radenhance.units import MIB

SMALLEST_BYTES = 2**16
"""A smaller storage stays: starting its copy takes longer than the copy."""


@dataclass(frozen=True)
class Offloading(Technique):
    """Let what autograd saves wait on the host.

    Args:
        budget_mib: Host memory, in MiB, that may be used; 0 for none.
    """

    budget_mib: int = 0

    parameter: ClassVar[str] = "MemoryTechniques.offload_mib"
    examples: ClassVar = ({"offload_mib": 64}, {"offload_mib": 2})  # room for all, and for some

    def __post_init__(self) -> None:
        if self.budget_mib < 0:
            expected = "a number of MiB such as 4096, or 0 for none"
            raise ParameterError(self.parameter, got=self.budget_mib, expected=expected)

    @property
    @override
    def is_on(self) -> bool:
        return self.budget_mib != 0

    @override
    def saving(
        self, stages: Sequence[Stage], inputs: Sequence[Tensor]
    ) -> AbstractContextManager[object]:
        """Return the context in which all but parameters, buffers and `inputs` wait on the host.

        A network's host memory is made when it is first used and lives as long as the network.

        Raises:
            UsageError: The host does not have that much memory.
        """
        if not torch.is_grad_enabled():
            return nullcontext()
        modules = _modules(stages)
        offload = _offloads.get(modules[0])
        if offload is None or not offload.serves(inputs[0].device, self.budget_mib):
            transfer = transfer_of(inputs[0])
            offload = Offload(HostMemory(self.budget_mib * MIB, pinned=transfer.pinned), transfer)
            _offloads[modules[0]] = offload
        own = [t for module in modules for t in (*module.parameters(), *module.buffers())]
        return offload.saving(but=[*inputs, *own])


def host_bytes(stages: Sequence[Stage]) -> int:
    """Return the most host memory that the activations of these stages have needed so far."""
    offload = _offloads.get(_modules(stages)[0])
    return offload.host.peak_bytes if offload is not None else 0


class Offload:
    """Where saved activations wait.

    Args:
        host: The memory that they wait in.
        transfer: The way there and back.
    """

    def __init__(self, host: HostMemory, transfer: Transfer) -> None:
        self.host = host
        self._transfer = transfer
        self._staying: set[int] = set()
        self._waiting: WeakKeyDictionary[torch.UntypedStorage, weakref.ref[_Waiting]] = (
            WeakKeyDictionary()
        )
        self._last: Callable[[], _Saved | None] = _nothing
        self._ahead: Callable[[], _Saved | None] = _nothing

    def serves(self, device: torch.device, budget_mib: int) -> bool:
        """Return whether it is for tensors on that device and has that budget."""
        return (self._transfer.device, self.host.num_bytes) == (device, budget_mib * MIB)

    @contextmanager
    def saving(self, *, but: Iterable[Tensor]) -> Iterator[None]:
        """Let what autograd saves in the block wait on the host, without the storages of `but`."""
        self._staying = {id(tensor.untyped_storage()) for tensor in but}
        try:
            with saved_tensors_hooks(self._pack, self._unpack):
                yield
        finally:
            self._staying = set()

    def _pack(self, tensor: Tensor) -> "Tensor | _Saved":
        if self._stays(tensor):
            return tensor
        waiting = self._take_in(tensor)
        if waiting is None:
            return tensor
        saved = _Saved(
            waiting,
            tensor.dtype,
            tensor.size(),
            tensor.stride(),
            int(tensor.storage_offset()),
            self._last,
        )
        self._last = weakref.ref(saved)
        return saved

    def _stays(self, tensor: Tensor) -> bool:
        storage = tensor.untyped_storage()
        return (
            tensor.device != self._transfer.device
            or storage.nbytes() < SMALLEST_BYTES
            or storage.nbytes() % tensor.itemsize != 0
            or id(storage) in self._staying
            or _is_cast_parameter(tensor)
        )

    def _take_in(self, tensor: Tensor) -> "_Waiting | None":
        storage = tensor.untyped_storage()
        known = self._waiting.get(storage)
        waiting = known() if known is not None else None
        # a storage that was written to since is another activation
        if waiting is not None and waiting.version == version_of(tensor):
            return waiting
        host = self.host.take(storage.nbytes())
        if host is None:
            return None
        whole = tensor.detach().as_strided((storage.nbytes() // tensor.itemsize,), (1,), 0)
        self._transfer.to_host(whole.view(torch.uint8), host)
        waiting = _Waiting(host, version_of(tensor))
        self._waiting[storage] = weakref.ref(waiting)
        return waiting

    def _unpack(self, saved: "Tensor | _Saved") -> Tensor:
        if isinstance(saved, Tensor):
            return saved
        data = saved.fetched if saved.fetched is not None else self._fetch(saved.waiting)
        saved.fetched = None
        self._transfer.wait(saved.waiting.copied)
        self._fetch_before(saved)
        return data.view(saved.dtype).as_strided(saved.size, saved.stride, saved.offset)

    def _fetch(self, waiting: "_Waiting") -> Tensor:
        data = waiting.data()
        if data is None:
            data, waiting.copied = self._transfer.to_device(waiting.host)
            waiting.data = weakref.ref(data)
        return data

    def _fetch_before(self, saved: "_Saved") -> None:
        """Fetch the storage that was saved before this one: backward will need it next."""
        ahead = self._ahead()
        if ahead is not None and ahead.fetched is not None:
            return  # one is here already and was not used yet
        before = saved.previous()
        while before is not None and before.waiting is saved.waiting:
            before.fetched = self._fetch(before.waiting)  # it is here: keep it for its next use
            before = before.previous()
        if before is not None:
            before.fetched = self._fetch(before.waiting)
            self._ahead = weakref.ref(before)


def _nothing() -> None:
    return None


@dataclass(eq=False)
class _Waiting:
    """One storage on the host, and on the device as long as somebody uses it there."""

    host: Tensor
    version: int
    data: Callable[[], Tensor | None] = _nothing
    copied: torch.cuda.Event | None = None


@dataclass(eq=False)
class _Saved:
    """What autograd holds instead of a tensor: a view of a storage that waits.

    Args:
        waiting: The storage.
        dtype: The dtype of the view.
        size: The size of the view.
        stride: The stride of the view, in elements.
        offset: The offset of the view, in elements.
        previous: A function that gives what was saved before, while autograd holds that.
        fetched: The storage on the device, ahead of its use.
    """

    waiting: _Waiting
    dtype: torch.dtype
    size: torch.Size
    stride: tuple[int, ...]
    offset: int
    previous: "Callable[[], _Saved | None]"
    fetched: Tensor | None = None


def _is_cast_parameter(tensor: Tensor) -> bool:
    """Return whether autocast made it of a parameter, and keeps it until its block ends."""
    made_by = tensor.grad_fn
    if made_by is None or made_by.name() != "ToCopyBackward0":
        return False
    # of autograd's nodes only a leaf's, which accumulates its gradient, has a variable
    return hasattr(made_by.next_functions[0][0], "variable")


def _modules(stages: Sequence[Stage]) -> list[nn.Module]:
    return [module for stage in stages for module in stage.modules]


_offloads: WeakKeyDictionary[nn.Module, Offload] = WeakKeyDictionary()
