"""A loader that resumes in the middle of an epoch.

Lightning saves the state of a loader that has `state_dict`, and restores it when a run resumes in
the middle of an epoch; without one it starts the epoch's data over. The state is only the epoch and
the number of batches, because order and augmentation are functions of (seed, epoch, index) alone:
the sampler yields `(epoch, index)`, and no worker has a random state of its own.
"""

from collections.abc import Iterator, Sized
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from radenhance.errors import UsageError

Draw = tuple[int, int]
"""Epoch, and index into the dataset."""


class DrawSampler(DistributedSampler[Draw]):
    """The shuffled draws of one epoch, sharded over the processes.

    It is a DistributedSampler even for one process, so that Lightning does not replace it.
    """

    skip = 0
    """Number of draws to leave out of the next epoch only, as they were seen before a resume."""

    def __iter__(self) -> Iterator[Draw]:
        """Yield (epoch, index)."""
        skip, self.skip = self.skip, 0
        indices = cast("list[int]", list(super().__iter__()))
        return iter([(self.epoch, index) for index in indices[skip:]])


class EachOnceSampler(DistributedSampler[int]):
    """All indices in order, each for one process; there may be fewer than processes.

    It is a DistributedSampler, so that Lightning does not replace it by one that needs an index for
    each process.
    """

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of this process."""
        return iter(self._own)

    def __len__(self) -> int:
        """Return the number of indices of this process."""
        return len(self._own)

    @property
    def _own(self) -> range:
        dataset = cast("Sized", self.dataset)
        return range(self.rank, len(dataset), self.num_replicas)


class ResumableLoader(DataLoader[Any]):
    """A DataLoader over a DrawSampler whose position goes into the checkpoint.

    Args:
        dataset: Takes a `Draw` as index.
        sampler: Its draws; those in order, in each process, where Lightning gives another sampler,
            as it does to overfit batches.
        options: Those of DataLoader.
    """

    sampler: DrawSampler
    _batches = 0

    def __init__(self, dataset: Dataset[Any], *, sampler: Sampler[Any], **options: Any) -> None:
        if not isinstance(sampler, DrawSampler):
            sampler = DrawSampler(dataset, num_replicas=1, rank=0, shuffle=False)
        super().__init__(dataset, sampler=sampler, **options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches of the epoch, without those that a restored state counts as seen."""
        assert self.batch_size is not None
        self._batches = self.sampler.skip // self.batch_size
        for batch in super().__iter__():
            self._batches += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches that were yielded."""
        return {"epoch": self.sampler.epoch, "batches": self._batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the batches that `state` counts; a finished epoch is not repeated."""
        assert self.batch_size is not None
        epoch, batches = (state.get(name) for name in ("epoch", "batches"))
        if not (type(epoch) is type(batches) is int and epoch >= 0 and batches >= 0):
            raise UsageError(
                "the checkpoint does not say where in the training data it was written; give "
                "another checkpoint"
            )
        self.sampler.set_epoch(epoch)
        seen = batches if batches < len(self) else 0
        self.sampler.skip = seen * self.batch_size
