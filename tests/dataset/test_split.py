from collections import Counter, defaultdict

import numpy as np
import pytest

from radenhance.dataset.manifest import Pair
from radenhance.dataset.split import split_by_patient
from radenhance.errors import ParameterError

PAPER = {"cat": 24, "dog": 34, "turtle": 2}


def pairs(counts, *, per_patient=1):
    return [
        Pair(f"{s}{i}", f"{s}-{i // per_patient}", "", "", "train", species=s)
        for s, n in counts.items()
        for i in range(n)
    ]


def validating(split):
    return Counter(p.species for p in split if p.split == "val")


def test_the_papers_numbers_come_out():
    wanted = {"dog": 5, "cat": 6, "turtle": 1}
    assert validating(split_by_patient(pairs(PAPER), val=wanted)) == wanted


@pytest.mark.parametrize("seed", range(5))
def test_patient_never_in_two_splits(seed):
    split = split_by_patient(pairs(PAPER, per_patient=2), val=0.3, seed=seed)
    assert all(len({p.split for p in split if p.patient == q.patient}) == 1 for q in split)


def test_a_fraction_is_one_of_every_species():
    assert validating(split_by_patient(pairs(PAPER), val=0.2)) == {"cat": 5, "dog": 7, "turtle": 1}


def test_a_single_patient_trains():
    assert validating(split_by_patient(pairs({"cat": 3}, per_patient=3), val=0.2)) == {}


def test_cases_without_a_patient_are_patients_of_their_own():
    unknown = [Pair(str(i), "", "", "", "train") for i in range(10)]
    assert len([p for p in split_by_patient(unknown, val=0.5) if p.split == "val"]) == 5


def test_order_is_kept_and_seed_decides():
    first, again, other = (split_by_patient(pairs(PAPER), val=0.2, seed=s) for s in (1, 1, 2))
    assert [p.case_id for p in first] == [p.case_id for p in pairs(PAPER)]
    assert first == again
    assert first != other


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 20])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ParameterError, match=r"val_fraction is .*, expected a fraction"):
        split_by_patient(pairs(PAPER), val=fraction)


def drawn_at_random(seed):
    """Pairs of patients of any number of radiographs, some of several species, some unnamed."""
    random = np.random.default_rng(seed)
    num_patients = int(random.integers(1, 30))
    return [
        Pair(
            case_id=f"case{i}",
            patient_id=str(random.choice(["", f"p{random.integers(num_patients)}"], p=[0.1, 0.9])),
            raw_path="",
            target_path="",
            split="train",
            species=str(random.choice(["cat", "dog", "turtle", ""])),
        )
        for i in range(int(random.integers(1, 80)))
    ]


@pytest.mark.parametrize("seed", range(40))
def test_no_patient_is_in_two_splits_whoever_the_patients_are(seed):
    random = np.random.default_rng([seed, 1])
    counts = {name: int(random.integers(6)) for name in ("cat", "dog", "turtle")}
    pairs = drawn_at_random(seed)
    for val in (float(random.uniform(0, 1)), counts):
        splits = defaultdict(set)
        for pair in split_by_patient(pairs, val=val, seed=seed):
            splits[pair.patient].add(pair.split)
        assert all(len(found) == 1 for found in splits.values())
        assert {split for found in splits.values() for split in found} <= {"train", "val"}


@pytest.mark.parametrize("seed", range(10))
def test_a_split_changes_nothing_but_the_split(seed):
    pairs = drawn_at_random(seed)
    after = split_by_patient(pairs, val=0.3, seed=seed)
    assert [(p.case_id, p.patient_id, p.species) for p in after] == [
        (p.case_id, p.patient_id, p.species) for p in pairs
    ]
