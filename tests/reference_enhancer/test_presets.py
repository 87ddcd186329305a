import dataclasses
import itertools

import cv2
import numpy as np
import pytest
from saved_files import SAMPLES

from radenhance.dataset.normalize import normalize
from radenhance.dicom.read import read
from radenhance.reference_enhancer import presets
from radenhance.reference_enhancer.enhance import enhance
from radenhance.reference_enhancer.presets import PRESETS, Preset, preset_for


def other(value):
    """A different value of the same kind."""
    if isinstance(value, bool):
        return not value
    return (*value[:-1], value[-1] + 1) if isinstance(value, tuple) else value + 1


def test_there_are_five_presets_and_no_two_alike():
    assert list(PRESETS) == ["soft", "default", "bone", "thorax", "exotic"]
    assert len({preset.fingerprint() for preset in PRESETS.values()}) == 5


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Preset)])
def test_every_parameter_changes_the_fingerprint(name):
    changed = dataclasses.replace(Preset(), **{name: other(getattr(Preset(), name))})
    assert changed.fingerprint() != Preset().fingerprint()


def test_version_of_the_algorithm_changes_the_fingerprint(monkeypatch):
    before = Preset().fingerprint()
    monkeypatch.setattr(presets, "ALGORITHM", "laplacian-power/0")
    assert Preset().fingerprint() != before


def test_fingerprint_is_short_hexadecimal_and_repeatable():
    assert Preset().fingerprint() == Preset().fingerprint()
    assert len(bytes.fromhex(Preset().fingerprint())) == 8


def test_bone_lifts_the_finest_octaves_most():
    bone, default = PRESETS["bone"].octave_gains, PRESETS["default"].octave_gains
    ratios = np.divide(bone, default)
    assert min(ratios[:3]) == pytest.approx(1.4)
    assert (np.diff(ratios[1:]) <= 1e-9).all()
    assert bone[4:] == default[4:]


SCREEN = 480
"""Pixels of an image beside others on a screen."""
VISIBLE = 0.03
"""Mean difference of brightness that a reader sees without a second look."""


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_any_two_presets_can_be_told_apart_at_the_size_of_a_screen(name):
    radiograph = read(SAMPLES / name)
    unit = cv2.resize(normalize(radiograph), (SCREEN, SCREEN), interpolation=cv2.INTER_AREA)
    images = {preset: enhance(unit, preset=preset) for preset in PRESETS}
    shown = images["default"] > 0.02
    for one, other in itertools.combinations(PRESETS, 2):
        difference = np.abs(images[one] - images[other])[shown].mean()
        assert difference > VISIBLE, (one, other)


@pytest.mark.parametrize(
    ("species", "body_part", "expected"),
    [
        ("dog", "CHEST", "thorax"),
        ("Katze", "Pelvis", "bone"),
        ("", "abdomen", "soft"),
        ("rabbit", "CHEST", "exotic"),
        ("", "L SPINE", "bone"),
        ("dragon", "WING", "default"),
        ("", "", "default"),
    ],
)
def test_the_preset_suits_species_and_body_part(species, body_part, expected):
    assert preset_for(species, body_part) == expected
