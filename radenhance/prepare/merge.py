"""New pairs beside those that `pairs.csv` lists already.

What people wrote into `pairs.csv` stays: which split a case is in, whether it is accepted, who
looked at it, its notes, its species.
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
    """How the first pairs of a dataset are split.

    Args:
        val: Fraction of each species that validates.
        test: Fraction of each species that tests.
        seed: Of the draw.
    """

    val: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise UsageError(
                f"--val-fraction {self.val:g} and --test-fraction {self.test:g} must be at least "
                "0, and together less than 1"
            )


def remade(known: Pair, made: Pair) -> Pair:
    """Return the line of a case whose files were made again.

    A review goes where the target is another one: nobody has seen that.
    """
    kept = {name: getattr(known, name) for name in _BY_PEOPLE}
    kept |= {name: getattr(known, name) or getattr(made, name) for name in _MAYBE_BY_PEOPLE}
    if known.target_sha256 == made.target_sha256:
        kept |= {name: getattr(known, name) for name in _REVIEW}
    return replace(made, **kept)


def split_new(known: Sequence[Pair], new: Sequence[Pair], *, drawing: Drawing) -> list[Pair]:
    """Return the new pairs with their splits; those of the known ones never change.

    Where nothing is known, patients are drawn at random, by species. Later ones train, unless other
    radiographs of the patient do otherwise.
    """
    if known:
        splits = {pair.patient: pair.split for pair in known}
        return [replace(pair, split=splits.get(pair.patient, "train")) for pair in new]
    val, test, seed = drawing.val, drawing.test, drawing.seed
    drawn = split_by_patient(new, val=test, seed=seed)
    testing = {pair.case_id for pair in drawn if pair.split == "val"}
    rest = [pair for pair in drawn if pair.case_id not in testing]
    split = {
        pair.case_id: pair for pair in split_by_patient(rest, val=val / (1 - test), seed=seed + 1)
    }
    return [split.get(pair.case_id, replace(pair, split="test")) for pair in new]


def free_case_id(pair: Pair, taken: Collection[str], *, counters: dict[str, int]) -> str:
    """Return a case id that tells the species and nothing of the patient, such as cat0007.

    Args:
        pair: Without a case id.
        taken: Ids in use.
        counters: The last number given, by species; updated.
    """
    prefix = pair.species.replace(" ", "") if pair.species in SPECIES else "other"
    number = counters.get(prefix, 0) + 1
    while f"{prefix}{number:04d}" in taken:
        number += 1
    counters[prefix] = number
    return f"{prefix}{number:04d}"
