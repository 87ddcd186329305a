import numpy as np
import pytest

from radenhance.dataset.field import FieldWeights
from radenhance.dataset.normalize import exposed_field, normalize
from radenhance.dicom.read import read
from radenhance.phantoms.radiograph import dataset_of, phantom
from radenhance.prepare.outside import outside_of, remarks, rule_of


def test_a_pair_is_black_outside_where_its_target_is(tmp_path):
    dataset_of(phantom("cat", seed=1, spacing_mm=1.0)).save_as(
        tmp_path / "raw", enforce_file_format=True
    )
    raw = read(tmp_path / "raw")
    corners = exposed_field(raw, normalize(raw))
    everything = slice(None), slice(None)
    inside = FieldWeights(corners, raw.shape, raw.shape)[everything] > 0
    assert 0.5 < inside.mean() < 0.99
    assert outside_of(corners, inside.astype(np.float32)) == "black"
    assert outside_of(corners, np.ones(raw.shape, np.float32)) == "keep"


@pytest.mark.parametrize(
    ("found", "rule"),
    [([], None), (["none", ""], None), (["black", "none", ""], "black"), (["keep"], "keep")],
)
def test_pairs_without_a_field_decide_nothing(found, rule):
    assert rule_of(found) == rule


def test_what_was_found_is_told_and_what_to_do_where_something_else_is_declared():
    found = ["black"] * 9 + ["none"] * 3
    told = "targets are black outside the exposed field in 9 of 9 images"
    left = "; no field was found in 3"
    assert remarks(found, None) == [f"{told}{left}, which stay as they are"]
    assert remarks(found, "black") == remarks(found, None)
    line, warning = remarks(found, "keep")
    assert line == told + left
    assert warning.startswith(f"warning dataset.yaml says outside_field: keep, but {told}; set it")
    assert "to black there" in warning
    (line, warning) = remarks(["keep"] * 4, "black")
    assert "set it to keep there" in warning
    assert remarks(["none", ""], "black") == []
