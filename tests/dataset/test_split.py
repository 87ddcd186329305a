from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from radenhance.dataset.manifest import Pair
from radenhance.dataset.split import (
    folds_of_patients,
    split_by_fold,
    split_by_patient,
    validating_sha256,
)
from radenhance.errors import DatasetError, ParameterError

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


def of_fold(pairs, fold, num_folds, seed=0):
    divided = split_by_fold(pairs, num_folds=num_folds, fold=fold, seed=seed)
    return [pair for pair in divided if pair.split == "val"]


@pytest.mark.parametrize("num_folds", range(2, 11))
@pytest.mark.parametrize("seed", range(8))
def test_every_patient_validates_in_one_fold_and_trains_in_all_others(num_folds, seed):
    pairs = drawn_at_random(seed) + [Pair(f"more{i}", f"q{i}", "", "", "val") for i in range(10)]
    all_patients = {pair.patient for pair in pairs}
    found = Counter()
    for fold in range(1, num_folds + 1):
        divided = split_by_fold(pairs, num_folds=num_folds, fold=fold, seed=seed)
        assert [replace(p, split="") for p in divided] == [replace(p, split="") for p in pairs]
        patients = {s: {p.patient for p in divided if p.split == s} for s in ("train", "val")}
        assert patients["val"]
        assert patients["train"] == all_patients - patients["val"]
        found.update(patients["val"])
    assert found == Counter(all_patients)


@pytest.mark.parametrize("num_folds", range(2, 11))
@pytest.mark.parametrize("seed", range(8))
def test_folds_differ_by_no_more_of_a_species_than_one_patient_has(num_folds, seed):
    random = np.random.default_rng([seed, num_folds])
    patients = {
        f"{species}{i}": (species, int(random.choice([1, 1, 1, 2, 5, 20])))
        for species, most in (("cat", 30), ("dog", 12), ("turtle", 3))
        for i in range(int(random.integers(1, most)) + (num_folds if species == "cat" else 0))
    }
    pairs = [
        Pair(f"{name}-{i}", name, "", "", "train", species=species)
        for name, (species, size) in patients.items()
        for i in range(size)
    ]
    folds = [validating(of_fold(pairs, fold + 1, num_folds, seed)) for fold in range(num_folds)]
    for species in ("cat", "dog", "turtle"):
        counts = [fold[species] for fold in folds]
        largest = max(size for name, size in patients.values() if name == species)
        assert max(counts) - min(counts) <= largest


def test_folds_of_single_radiographs_are_of_one_size_whatever_the_species():
    pairs_of_ten = pairs({"cat": 13, "dog": 7, "turtle": 2, "hamster": 1, "": 4})
    sizes = [len(of_fold(pairs_of_ten, fold, 5)) for fold in range(1, 6)]
    assert sorted(sizes) == [5, 5, 5, 6, 6]


@pytest.mark.parametrize("seed", range(5))
def test_folds_do_not_depend_on_the_order_of_lines_and_a_seed_decides(seed):
    ordered = drawn_at_random(seed + 20) + pairs({"cat": 12})
    shuffled = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    first, again, other = (
        folds_of_patients(some, num_folds=4, seed=number)
        for some, number in ((ordered, seed), (shuffled, seed), (ordered, seed + 1))
    )
    assert first == again
    assert first != other


def test_a_test_split_is_in_no_fold():
    listed = [replace(p, split=("train", "val", "test")[i % 3]) for i, p in enumerate(pairs(PAPER))]
    for fold in (1, 2, 3):
        divided = split_by_fold(listed, num_folds=3, fold=fold)
        assert [p for p in divided if p.split == "test"] == [p for p in listed if p.split == "test"]


def test_fewer_patients_than_folds_are_refused():
    few = [*pairs({"cat": 8}, per_patient=2), Pair("t", "t", "", "", "test")]
    assert len(folds_of_patients(few[:-1], num_folds=4)) == 4
    with pytest.raises(
        DatasetError, match="num_folds is 5, and .* of 4 patients, expected as many"
    ):
        split_by_fold(few, num_folds=5, fold=1)


def test_a_hash_tells_which_patients_validate():
    some = pairs(PAPER)
    one, again, other = (
        validating_sha256(split_by_fold(given, num_folds=5, fold=fold))
        for given, fold in ((some, 1), (some[::-1], 1), (some, 2))
    )
    assert one == again != other
