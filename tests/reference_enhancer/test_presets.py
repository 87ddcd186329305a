import dataclasses

import pytest

from radenhance.reference_enhancer import presets
from radenhance.reference_enhancer.presets import PRESETS, Preset


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


def test_bone_lifts_the_finest_octaves_by_a_fifth():
    bone, default = PRESETS["bone"].octave_gains, PRESETS["default"].octave_gains
    assert bone[:3] == pytest.approx([1.2 * gain for gain in default[:3]])
    assert bone[3:] == default[3:]
