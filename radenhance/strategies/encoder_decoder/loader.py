"""Batches that one process reads and broadcasts to the other.

Two processes that both read would augment differently: Lightning seeds workers by their rank, and
the raw image of one pair would meet the target of another. And the files would be read twice.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from radenhance.strategies.encoder_decoder.batches import map_leaves
from radenhance.strategies.encoder_decoder.skips import TensorMeta


@dataclass(frozen=True)
class PeerGroup:
    """The two processes of a pipeline.

    Args:
        group: The process group of the two.
        device: A device from which NCCL or gloo takes tensors.
    """

    group: ProcessGroup
    device: torch.device

    def broadcast(self, value: Any, *, source: int) -> Any:
        """Return the `value` of the process with the rank `source` in the group.

        Args:
            value: Dicts, lists and tuples of tensors, and of whatever can be pickled. It is ignored
                in the other process.
            source: Rank 0 or 1.

        Returns:
            The value with its tensors on `device`, at the source too.
        """
        tensors: list[Tensor] = []

        def described(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            tensors.append(leaf.detach().to(self.device).contiguous())
            return TensorMeta.of(tensors[-1])

        def received(leaf: Any) -> Any:
            return left.pop(0) if isinstance(leaf, TensorMeta) else leaf

        sends = dist.get_rank(self.group) == source
        box = [map_leaves(described, value) if sends else None]
        dist.broadcast_object_list(box, group_src=source, group=self.group, device=self.device)
        if not sends:
            map_leaves(lambda leaf: self._allocate(leaf, tensors), box[0])
        for tensor in tensors:
            dist.broadcast(tensor, group_src=source, group=self.group)
        left = list(tensors)
        return map_leaves(received, box[0])

    def _allocate(self, leaf: Any, tensors: list[Tensor]) -> None:
        if isinstance(leaf, TensorMeta):
            tensors.append(torch.empty(leaf.shape, dtype=leaf.dtype, device=self.device))


Guard = Callable[[], AbstractContextManager[None]]
"""Makes a context that explains an error by what happened to the other process."""


class _End:
    """Follows the last batch."""


class BroadcastLoader:
    """A loader that rank 0 of a pipeline reads, and both of its processes iterate over.

    Args:
        loader: The process's own loader with its samplers; only rank 0 iterates over it.
        peers: The two processes.
        guard: Context of every broadcast.
    """

    def __init__(self, loader: Any, peers: PeerGroup, guard: Guard) -> None:
        self._loader = loader
        self._peers = peers
        self._guard = guard

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches, their tensors on the device of the group."""
        reads = dist.get_rank(self._peers.group) == 0
        batches = iter(self._loader) if reads else None
        while True:
            box = [next(batches, _End())] if batches is not None else None
            with self._guard():
                box = self._peers.broadcast(box, source=0)
            if isinstance(box[0], _End):
                return
            yield box.pop()  # kept here, a batch would stay beside its copy in half precision

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        """Return the loader's attribute: Lightning asks for sampler, batch_size and the like."""
        return getattr(self._loader, name)


class StatefulBroadcastLoader(BroadcastLoader):
    """A loader whose position goes into the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's position."""
        state: dict[str, Any] = self._loader.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._loader.load_state_dict(state)


def broadcast_loader(loader: Any, peers: PeerGroup, guard: Guard) -> BroadcastLoader:
    """Return a loader for both processes; it has a position if `loader` has one."""
    is_stateful = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
    kind = StatefulBroadcastLoader if is_stateful else BroadcastLoader
    return kind(loader, peers, guard)
