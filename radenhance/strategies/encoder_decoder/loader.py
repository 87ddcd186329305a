"""Batches, read by one process and handed to the other.

Two processes that both read would augment differently: Lightning seeds workers by their rank, and
the raw half of one pair would meet the target half of another. And the files would be read twice.
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
    """The way from one process of a pipeline to the other.

    Args:
        group: The two.
        device: That NCCL or gloo takes tensors from.
    """

    group: ProcessGroup
    device: torch.device

    def broadcast(self, value: Any, *, source: int) -> Any:
        """Return what the process with the rank `source` in the group has for `value`.

        Args:
            value: Of tensors in dicts, lists and tuples, and whatever can be pickled. Elsewhere
                than at the source it is not looked at.
            source: 0 or 1.

        Returns:
            Its tensors are on `device`, at the source too.
        """
        tensors: list[Tensor] = []

        def announced(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            tensors.append(leaf.detach().to(self.device).contiguous())
            return TensorMeta.of(tensors[-1])

        def arrived(leaf: Any) -> Any:
            return left.pop(0) if isinstance(leaf, TensorMeta) else leaf

        sends = dist.get_rank(self.group) == source
        box = [map_leaves(announced, value) if sends else None]
        dist.broadcast_object_list(box, group_src=source, group=self.group, device=self.device)
        if not sends:
            map_leaves(lambda leaf: self._make_room(leaf, tensors), box[0])
        for tensor in tensors:
            dist.broadcast(tensor, group_src=source, group=self.group)
        left = list(tensors)
        return map_leaves(arrived, box[0])

    def _make_room(self, leaf: Any, tensors: list[Tensor]) -> None:
        if isinstance(leaf, TensorMeta):
            tensors.append(torch.empty(leaf.shape, dtype=leaf.dtype, device=self.device))


Guard = Callable[[], AbstractContextManager[None]]
"""Gives a context that says what became of the other process, where something came of it."""


class _End:
    """Comes after the last batch."""


class BroadcastLoader:
    """A loader that the process of rank 0 in a pipeline reads, and both iterate over.

    Args:
        loader: Of that process, with its samplers; that of the other is never iterated over.
        peers: Between the two.
        guard: Entered while anything is under way.
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
            box = (next(batches, _End()),) if batches is not None else None
            with self._guard():
                (batch,) = self._peers.broadcast(box, source=0)
            if isinstance(batch, _End):
                return
            yield batch

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        """Return what the loader has: Lightning asks for sampler, batch_size and the like."""
        return getattr(self._loader, name)


class StatefulHandedOver(BroadcastLoader):
    """One whose position goes into the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's position."""
        state: dict[str, Any] = self._loader.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._loader.load_state_dict(state)


def broadcast_loader(loader: Any, peers: PeerGroup, guard: Guard) -> BroadcastLoader:
    """Return the loader for both processes; it has a position if `loader` has."""
    is_stateful = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
    kind = StatefulHandedOver if is_stateful else BroadcastLoader
    return kind(loader, peers, guard)
