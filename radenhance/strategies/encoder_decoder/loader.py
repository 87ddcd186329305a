"""Batches that one process reads and broadcasts to the other.

Two processes that both read would augment differently: Lightning seeds workers by their rank, and
the raw image of one pair would meet the target of another. And the files would be read twice.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import torch.distributed as dist

from radenhance.strategies.peers import PeerGroup

Guard = Callable[[], AbstractContextManager[None]]
"""Makes a context that explains an error by what happened to the other process."""


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
            # one batch, or none after the last one
            box = list(islice(batches, 1)) if batches is not None else None
            with self._guard():
                box = self._peers.broadcast(box, source=0)
            if not box:
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
