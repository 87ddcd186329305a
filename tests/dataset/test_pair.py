from dataclasses import fields

from radenhance.dataset.pair import Pair

COLUMNS = (
    *("case_id", "patient_id", "raw_path", "target_path", "split"),
    *("species", "breed", "body_part", "view", "study_uid"),
    *("rows", "cols", "bits_stored", "photometric", "pixel_intensity", "sign", "intent", "lossy"),
    *("pixel_spacing_mm", "kvp", "mas", "manufacturer", "model"),
    *("raw_sha256", "target_sha256", "source_sha256", "pixels_sha256"),
    *("target_algo", "target_algo_hash", "paired_by", "outside_field", "recipe"),
    *("accept", "reviewed_by", "review_date", "notes"),
)


def pair(case="a", patient=""):
    return Pair(case, patient, f"raw/{case}.png", f"target/{case}.png", "train")


def test_the_columns_of_a_manifest_keep_their_names_and_their_order():
    assert tuple(field.name for field in fields(Pair)) == COLUMNS


def test_five_columns_are_enough_and_the_pair_is_accepted():
    assert pair().accept == 1
    assert pair().species == ""
    assert pair().rows is None


def test_a_case_without_a_patient_is_a_patient_of_its_own():
    assert pair("a").patient != pair("b").patient
    assert pair("a", "p").patient == pair("b", "p").patient == "p"
