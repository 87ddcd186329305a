"""Batches that one process reads and broadcasts to the other.

Two processes that both read would augment differently: Lightning seeds workers by their rank, and
the raw image of one pair would meet the target of another. And the files would be read twice.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count, islice
from typing import Any

import torch.distributed as dist

from radenhance.compat.lightning import samples_seen
from radenhance.strategies.encoder_decoder.random_numbers import random_state, set_random_state
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
        """Yield the batches, their tensors on the device of the group.

        With each come the random numbers that the reader goes on with, and the samples' numbers,
        which Lightning has for those who write predictions.
        """
        reads = dist.get_rank(self._peers.group) == 0
        # at once: one device draws the seed of the workers here, before hooks draw numbers
        batches = iter(self._loader) if reads else None
        with self._guard():
            state = self._peers.broadcast(random_state(self._peers.device), source=0)
        set_random_state(state, self._peers.device)
        if not reads and (seen := samples_seen(self._loader)) is not None:
            seen.clear()
        return self._broadcast(batches)

    def _broadcast(self, batches: Iterator[Any] | None) -> Iterator[Any]:
        device = self._peers.device
        for number in count():
            # one batch, or none after the last one
            box = list(islice(batches, 1)) if batches is not None else None
            if box:
                seen = samples_seen(self._loader)
                box += [seen and list(map(int, seen[number])), random_state(device)]
            with self._guard():
                box = self._peers.broadcast(box, source=0)
            if not box:
                return
            if batches is None:
                _note(self._loader, box[1])
                set_random_state(box[2], device)
            del box[1:]
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


def _note(loader: Any, indices: list[int] | None) -> None:
    seen = samples_seen(loader)
    if seen is not None and indices:
        seen.append(indices)
