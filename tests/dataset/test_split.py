from collections import Counter

import pytest

from radenhance.dataset.manifest import Pair
from radenhance.dataset.split import split_by_patient
from radenhance.errors import DatasetError

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
    with pytest.raises(DatasetError, match="val_fraction must be in"):
        split_by_patient(pairs(PAPER), val=fraction)
