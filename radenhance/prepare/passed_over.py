"""Radiographs that cannot be read, passed over and listed: one of many does not decide over all.

What runs out for all that follow, memory or a disk, ends a command as ever.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset

from radenhance.dataset.pairs import PairDataset, Sample, collate
from radenhance.dataset.prediction import MIN_SIDE, RadiographFiles
from radenhance.dicom.dicom_file import START_BYTES, looks_like_dicom, parse
from radenhance.dicom.read import opened
from radenhance.errors import (
    BatchError,
    DatasetError,
    ImageSizeError,
    RadenhanceError,
    RadiographError,
)
from radenhance.prepare.identity import identity_words, masked, unwarned

OF_ONE_RADIOGRAPH = (RadiographError, DatasetError, ImageSizeError)
"""What reading or enhancing raises for the sake of one radiograph, while others may do."""


@dataclass(frozen=True)
class Failure:
    """A radiograph that was passed over.

    Args:
        case: What the dataset calls it.
        reason: Why, in a sentence; it names no file and nobody, unless `case` is a file's name.
    """

    case: str
    reason: str

    def __str__(self) -> str:
        return f"{self.case}: {self.reason}"


def failure_of_pair(dataset: PairDataset, index: int, error: RadenhanceError) -> Failure:
    """Return what to list of a pair.

    Args:
        dataset: The dataset.
        index: Index of the pair.
        error: What it raised, of OF_ONE_RADIOGRAPH.
    """
    pair, case = dataset.pairs[index], dataset.cases[index]
    if case == pair.raw_path:
        return Failure(case, str(error))
    names = {pair.raw_path: "the raw image", pair.target_path: "the target"}
    return Failure(case, _unnamed(error, dataset.root, names))


def failure_of_file(files: RadiographFiles, index: int, error: RadenhanceError) -> Failure:
    """Return what to list of a file; arguments are as in `failure_of_pair`."""
    path, case = files.files[index], files.cases[index]
    begin = f"{path}: "
    if case == str(path):
        return Failure(case, str(error).removeprefix(begin))
    return Failure(
        case, _unnamed(error, Path(), {str(path): "the file"}).removeprefix("the file: ")
    )


class PassingOver(Dataset[Sample | Failure]):
    """A dataset with a Failure in place of each radiograph that cannot be read.

    Args:
        dataset: The dataset.
        failure_of: Returns what to list of an index and the error that it raised.
    """

    def __init__(
        self,
        dataset: PairDataset | RadiographFiles,
        failure_of: Callable[[Any, int, RadenhanceError], Failure],
    ) -> None:
        self._dataset = dataset
        self._failure_of = failure_of
        self.failures: list[Failure] = []
        """What a PassingLoader left out."""

    def __len__(self) -> int:
        """Return the number of radiographs, readable or not."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample | Failure:
        """Return a sample, or why there is none."""
        try:
            sample = self._dataset[index]
            rows, columns = sample["raw"].shape[-2:]
            if min(rows, columns) < MIN_SIDE:
                raise ImageSizeError(
                    f"has {(rows, columns)} rows and columns, expected {MIN_SIDE} or more of each"
                )
        except OF_ONE_RADIOGRAPH as error:
            return self._failure_of(self._dataset, index, error)
        return sample


class PassingLoader(DataLoader[Any]):
    """A loader of a PassingOver, one sample at a time, that leaves failures out and notes them."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches of what can be read."""
        failures = cast("PassingOver", self.dataset).failures
        failures.clear()
        for batch in super().__iter__():
            if isinstance(batch, Failure):
                failures.append(batch)
            else:
                yield batch


def collate_or_pass(samples: list[Sample | Failure]) -> Sample | Failure:
    """Return a single sample as a batch, and a failure as it is."""
    (sample,) = samples
    return sample if isinstance(sample, Failure) else collate([sample])


def listed(failures: Sequence[Failure]) -> list[str]:
    """Return failures as lines of text, none where there are none."""
    return ["Passed over:", *(f"  {failure}" for failure in failures)] if failures else []


def refuse_failures(failures: Sequence[Failure], *, num_done: int, done: str) -> None:
    """Raise what a command ends with that passed over some radiographs.

    Args:
        failures: Those, which are listed already.
        num_done: How many others there were.
        done: What became of them, such as measured.

    Raises:
        BatchError: There are failures; its exit code is 2 if there is nothing else, and 4 if there
            is.
    """
    if failures and not num_done:
        raise BatchError(f"no radiograph could be {done}; {failures[0]}", exit_code=2)
    if failures:
        number = "1 radiograph" if len(failures) == 1 else f"{len(failures)} radiographs"
        raise BatchError(f"{number} had to be passed over, as listed; all others are {done}")


def _unnamed(error: RadenhanceError, root: Path, nouns: Mapping[str, str]) -> str:
    """Return a message without names of files, and of whom the files' headers name."""
    said, words = str(error), frozenset[str]()
    for name, noun in nouns.items():
        said = said.replace(str(root / name), noun).replace(name, noun)
        words |= _words_of(root / name)
    return masked(said, words)


def _words_of(path: Path) -> frozenset[str]:
    try:
        with unwarned(), opened(path) as file:
            if not looks_like_dicom(file.read(START_BYTES)):
                return frozenset()
            return identity_words(parse(path, file).attributes)
    except RadiographError:  # it cannot quote a header that cannot be read
        return frozenset()
