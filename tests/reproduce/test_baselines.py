"""What needs no network is measured as networks are: on validation, black outside the field."""

import json

import pytest

from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce import baselines as module
from radenhance.reproduce.baselines import RAW, TABLE, baselines, loss_of
from radenhance.reproduce.study import Study


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
