"""Splitting a dataset: by patient, because one patient in two splits flatters the validation."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from radenhance.dataset.manifest import Pair
from radenhance.errors import ParameterError


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
