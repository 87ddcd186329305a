from collections import Counter

import pytest

from radenhance.dataset.pair import Pair
from radenhance.errors import UsageError
from radenhance.prepare.merge import Drawing, free_case_id, remade, split_new


def pair(case, patient=None, *, species="cat", split="train", **more):
    patient = case if patient is None else patient
    return Pair(case, patient, f"raw/{case}", f"target/{case}", split, species=species, **more)


def many(count, species, *, per_patient=1):
    return [
        pair(f"{species}{i}", f"{species}-{i // per_patient}", species=species)
        for i in range(count)
    ]


def test_a_new_dataset_is_split_by_patient_and_species():
    new = many(20, "cat", per_patient=2) + many(10, "dog")
    found = split_new([], new, drawing=Drawing(val=0.2, test=0.1))
    assert [p.case_id for p in found] == [p.case_id for p in new]
    assert Counter((p.species, p.split) for p in found) == {
        ("cat", "train"): 14,
        ("cat", "val"): 4,
        ("cat", "test"): 2,
        ("dog", "train"): 7,
        ("dog", "val"): 2,
        ("dog", "test"): 1,
    }
    splits = {}
    for p in found:
        assert splits.setdefault(p.patient_id, p.split) == p.split


def test_equal_seeds_draw_equal_splits_and_others_do_not():
    new = many(40, "cat")

    def drawn(seed):
        return [p.split for p in split_new([], new, drawing=Drawing(seed=seed))]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(4)}) > 1


def test_later_pairs_train_unless_their_patient_does_otherwise():
    known = [pair("1", "a", split="val"), pair("2", "b", split="test"), pair("3", "c")]
    new = [pair("4", "a"), pair("5", "b"), pair("6", "c"), pair("7", "d"), pair("8", "e")]
    found = split_new(known, new, drawing=Drawing(val=0.9))
    assert [p.split for p in found] == ["val", "test", "train", "train", "train"]


def test_a_pair_without_a_patient_is_a_patient_of_its_own():
    known = [pair("1", "", split="val")]
    assert split_new(known, [pair("2", "")], drawing=Drawing())[0].split == "train"


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0), (0, -0.1), (0.6, 0.4), (1, 0)])
def test_fractions_that_leave_nothing_to_train_on_are_refused(val, test):
    with pytest.raises(UsageError, match="together less than 1"):
        Drawing(val=val, test=test)


def test_what_people_wrote_stays_when_files_are_made_again():
    known = pair(
        "cat0007", "p", split="test", accept=0, notes="blurred", breed="Manx", target_sha256="old"
    )
    made = pair("", "q", breed="Siamese", body_part="CHEST", target_sha256="new", rows=7)
    found = remade(known, made)
    assert (found.case_id, found.patient_id, found.split) == ("cat0007", "p", "test")
    assert (found.accept, found.notes, found.breed) == (0, "blurred", "Manx")
    assert (found.body_part, found.rows, found.target_sha256) == ("CHEST", 7, "new")


@pytest.mark.parametrize(("target", "kept"), [("same", "R1"), ("other", "")])
def test_a_review_is_kept_with_the_target_that_was_reviewed(target, kept):
    known = pair("1", target_sha256="same", reviewed_by="R1", review_date="2026-01-01")
    found = remade(known, pair("", target_sha256=target))
    assert found.reviewed_by == kept
    assert bool(found.review_date) == bool(kept)


def test_case_ids_count_by_species_and_step_over_those_in_use():
    counters = {}
    taken = {"cat0002"}
    found = [
        free_case_id(pair("", species=species), taken, counters=counters)
        for species in ("cat", "cat", "dog", "guinea pig", "Zorbax", "")
    ]
    assert found == ["cat0001", "cat0003", "dog0001", "guineapig0001", "other0001", "other0002"]
