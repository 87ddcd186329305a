"""What needs no network is measured as networks are: on validation, black outside the field."""

import json

import numpy as np
import pytest
import torch

from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce import baselines as module
from radenhance.reproduce.baselines import (
    NUM_BINS,
    RAW,
    TABLE,
    baselines,
    fitted_curve,
    loss_of,
    toned,
)
from radenhance.reproduce.study import Study

VALUES = torch.linspace(0, 1, NUM_BINS).reshape(1, 1, 16, 16)
FIELD = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)


def test_the_curve_is_that_of_the_targets():
    curve = fitted_curve([{"raw": VALUES, "target": VALUES**2}])
    assert curve == pytest.approx(np.linspace(0, 1, NUM_BINS) ** 2, abs=1e-6)


def test_the_curve_never_falls():
    """Where targets fall it is their mean."""
    curve = fitted_curve([{"raw": VALUES, "target": 1 - VALUES}])
    assert curve == pytest.approx(np.full(NUM_BINS, 0.5))


def test_values_that_no_image_has_are_interpolated():
    curve = fitted_curve([{"raw": torch.tensor([[[[0.0, 1.0]]]]), "target": torch.tensor([0.2, 0.8])
                           .reshape(1, 1, 1, 2)}])  # fmt: skip
    assert curve == pytest.approx(np.linspace(0.2, 0.8, NUM_BINS))


def test_what_is_outside_the_field_is_not_fitted_and_stays_black():
    field = FIELD.clone()
    field[..., :8, :] = 0
    batch = {"raw": VALUES, "target": torch.where(field > 0, 0.7, 0.0), "field": field}
    curve = fitted_curve([batch])
    assert curve == pytest.approx(np.full(NUM_BINS, 0.7))
    image = toned(batch, curve)
    assert image[..., :8, :].max() == 0
    assert image[..., 8:, :] == pytest.approx(0.7)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    root = out / "radiographs"
    synthesize(root, counts={"cat": 3, "dog": 0, "turtle": 0}, spacing_mm=1.6, num_processes=1)
    return Study(out, root, (176,))


def test_a_curve_for_all_images_comes_nearer_to_the_targets_than_the_raw_image(study):
    found = baselines(study, 176)
    assert found[TABLE]["mae"] < found[RAW]["mae"]
    for measures in found.values():
        assert loss_of(measures) == pytest.approx(100 * (1 - measures["ms_ssim"]), abs=1e-3)


def test_they_are_measured_once(study, monkeypatch):
    before = baselines(study, 176)
    monkeypatch.setattr(module, "_measured", lambda *_: pytest.fail("measured again"))
    assert baselines(study, 176) == before
    assert json.loads((study.out / "baselines-176px.json").read_text()) == before
