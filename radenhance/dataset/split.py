"""Splitting a dataset: by patient, because one patient in two splits flatters the validation."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random

from radenhance.dataset.manifest import Pair
from radenhance.errors import DatasetError, ParameterError


def split_by_patient(
    pairs: Sequence[Pair], *, val: float | Mapping[str, int], seed: int = 0
) -> list[Pair]:
    """Return the pairs with split train or val: by patient, stratified by species.

    Patients of each species are drawn at random for validation as long as they fit into the number
    of radiographs wanted of that species.

    Args:
        pairs: The pairs, in any order; the result keeps it.
        val: Number of radiographs wanted per species, such as {"dog": 5, "cat": 6, "turtle": 1};
            or a fraction in [0, 1) of each species, rounded, and at least one where a species has
            several patients.
        seed: Seed of the draw.

    Raises:
        ParameterError: The fraction is not in [0, 1).
    """
    if not isinstance(val, Mapping) and not 0 <= val < 1:
        raise ParameterError(
            "RadiographDataModule.val_fraction", got=val, expected="a fraction in [0, 1)"
        )
    species: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for pair in pairs:
        species[pair.species][pair.patient] += 1
    drawn = set()
    for name in sorted(species):
        wanted = _wanted(name, species[name], val)
        drawn |= _draw(species[name], wanted, Random(f"{seed} {name}"))
    return [replace(pair, split="val" if pair.patient in drawn else "train") for pair in pairs]


def _wanted(species: str, patients: Mapping[str, int], val: float | Mapping[str, int]) -> int:
    if isinstance(val, Mapping):
        return val.get(species, 0)
    share = round(val * sum(patients.values()))
    return max(share, 1) if val > 0 and len(patients) > 1 else share


def _draw(patients: Mapping[str, int], wanted: int, random: Random) -> set[str]:
    order = sorted(patients)
    random.shuffle(order)
    drawn: set[str] = set()
    for patient in order:
        if patients[patient] <= wanted:
            drawn.add(patient)
            wanted -= patients[patient]
    return drawn


def split_by_fold(pairs: Sequence[Pair], *, num_folds: int, fold: int, seed: int = 0) -> list[Pair]:
    """Return the pairs with split val in one fold of a cross-validation, and train in the others.

    Args:
        pairs: The pairs, in any order; the result keeps it. Those in split test stay there.
        num_folds: Number of folds, at least 2.
        fold: The fold that validates, from 1.
        seed: Seed of the draw.

    Raises:
        DatasetError: There are fewer patients than folds.
    """
    divided = [pair for pair in pairs if pair.split != "test"]
    folds = folds_of_patients(divided, num_folds=num_folds, seed=seed)
    return [
        replace(pair, split="val" if folds[pair.patient] == fold else "train")
        if pair.split != "test"
        else pair
        for pair in pairs
    ]


def folds_of_patients(pairs: Iterable[Pair], *, num_folds: int, seed: int = 0) -> dict[str, int]:
    """Return the fold of each patient, from 1, with equal shares of every species in the folds.

    Species by species, the patient with the most radiographs goes first, and each goes to the fold
    that has the fewest of its species, of such folds to that with the fewest in all. So two folds
    never differ by more radiographs of a species than one patient has. Patients with as many
    radiographs are drawn at random.

    Args:
        pairs: The pairs to divide, in any order.
        num_folds: Number of folds.
        seed: Seed of the draw.

    Raises:
        DatasetError: There are fewer patients than folds.
    """
    species: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        species[pair.patient][pair.species] += 1
    if len(species) < num_folds:
        raise DatasetError(
            f"RadiographDataModule.num_folds is {num_folds}, and the radiographs outside the test "
            f"split are of {len(species)} patients, expected as many patients as folds or more; "
            f"take fewer folds, or add patients"
        )
    patients = {
        name: min(counts, key=lambda s: (-counts[s], s)) for name, counts in species.items()
    }
    sizes = {name: counts.total() for name, counts in species.items()}
    totals = Counter(dict.fromkeys(range(1, num_folds + 1), 0))
    folds: dict[str, int] = {}
    for one in sorted(set(patients.values())):
        order = sorted(name for name, its in patients.items() if its == one)
        Random(f"{seed} {one}").shuffle(order)
        of_species: Counter[int] = Counter()
        for name in sorted(order, key=lambda name: -sizes[name]):
            fold = min(totals, key=lambda fold: (of_species[fold], totals[fold], fold))
            folds[name] = fold
            of_species[fold] += sizes[name]
            totals[fold] += sizes[name]
    return folds


def validating_sha256(pairs: Iterable[Pair]) -> str:
    """Return a hash of the patients that validate, which tells one division from another."""
    patients = sorted({pair.patient for pair in pairs if pair.split == "val"})
    return hashlib.sha256(repr(patients).encode()).hexdigest()
