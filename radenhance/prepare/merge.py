"""New pairs beside those that `pairs.csv` lists already.

What people wrote into `pairs.csv` is kept: the split of a case, whether it is accepted, who
reviewed it, its notes, its species. A case never changes its split, because a network that was
trained on it must not be tested on it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from radenhance.dataset.pair import Pair
from radenhance.dataset.species import SPECIES
from radenhance.dataset.split import split_by_patient
from radenhance.errors import UsageError

_BY_PEOPLE = ("case_id", "patient_id", "split", "accept", "notes")
_MAYBE_BY_PEOPLE = ("species", "breed", "body_part", "view")
_REVIEW = ("reviewed_by", "review_date")


@dataclass(frozen=True)
class Drawing:
    """How the first pairs of a dataset are drawn into splits.

    Args:
        val: Fraction of each species in split val.
        test: Fraction of each species in split test.
        seed: Seed of the draw.
    """

    val: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse fractions that leave nothing to train on."""
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise UsageError(
                f"--val-fraction is {self.val:g} and --test-fraction {self.test:g}, expected "
                "fractions of at least 0 that are together less than 1"
            )


def remade(known: Pair, made: Pair) -> Pair:
    """Return the line of a case whose files were made again.

    A review is kept only with the target that was reviewed.

    Args:
        known: The line that the manifest has.
        made: The line of the files that were made now.
    """
    kept = {name: getattr(known, name) for name in _BY_PEOPLE}
    kept |= {name: getattr(known, name) or getattr(made, name) for name in _MAYBE_BY_PEOPLE}
    if known.target_sha256 == made.target_sha256:
        kept |= {name: getattr(known, name) for name in _REVIEW}
    return replace(made, **kept)


def split_new(known: Sequence[Pair], new: Sequence[Pair], *, drawing: Drawing) -> list[Pair]:
    """Return the new pairs with their splits.

    The patients of a new dataset are drawn at random, by species. Pairs that are added later are in
    split train, unless the patient is in another split already.

    Args:
        known: Pairs that the manifest lists.
        new: Pairs without a split.
        drawing: How a new dataset is drawn into splits.
    """
    if known:
        splits = {pair.patient: pair.split for pair in known}
        return [replace(pair, split=splits.get(pair.patient, "train")) for pair in new]
    val, test, seed = drawing.val, drawing.test, drawing.seed
    drawn = split_by_patient(new, val=test, seed=seed)
    rest = [pair for pair in drawn if pair.split != "val"]
    rest = split_by_patient(rest, val=val / (1 - test), seed=seed + 1)
    split = {pair.case_id: pair for pair in rest}
    return [split.get(pair.case_id, replace(pair, split="test")) for pair in new]


def free_case_id(pair: Pair, taken: Collection[str], *, counters: dict[str, int]) -> str:
    """Return a case id that tells the species and nothing of the patient, such as cat0007.

    Args:
        pair: A pair without a case id.
        taken: Case ids in use.
        counters: The last number given, by species; the function updates it.
    """
    prefix = pair.species.replace(" ", "") if pair.species in SPECIES else "other"
    number = counters.get(prefix, 0) + 1
    while f"{prefix}{number:04d}" in taken:
        number += 1
    counters[prefix] = number
    return f"{prefix}{number:04d}"
