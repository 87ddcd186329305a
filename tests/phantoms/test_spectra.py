import numpy as np
import pytest

from radenhance.phantoms.anatomy.canvas import MATERIALS
from radenhance.phantoms.spectra import KVPS, nearest_kvp, spectrum

# kVp: effective attenuation per cm over 0.5 and 5 cm, of the full spekpy spectrum in an
# energy-integrating detector.
EFFECTIVE = {
    45: {"water": (0.394, 0.358), "fat": (0.289, 0.277), "bone": (2.15, 1.44)},
    55: {"water": (0.338, 0.311), "fat": (0.258, 0.248), "bone": (1.64, 1.09)},
    65: {"water": (0.306, 0.284), "fat": (0.240, 0.232), "bone": (1.37, 0.906)},
    80: {"water": (0.277, 0.260), "fat": (0.223, 0.217), "bone": (1.12, 0.752)},
    100: {"water": (0.255, 0.242), "fat": (0.210, 0.205), "bone": (0.946, 0.652)},
}
KERATIN = {45: (0.665, 0.554), 65: (0.481, 0.413), 100: (0.378, 0.337)}


def effective(kvp, material, length):
    water, bone = MATERIALS[material]
    return spectrum(kvp).attenuation(water * length, bone * length) / length


@pytest.mark.parametrize("kvp", EFFECTIVE)
@pytest.mark.parametrize("material", ["water", "fat", "bone"])
def test_twelve_bins_attenuate_like_the_full_spectrum(kvp, material):
    thin, thick = EFFECTIVE[kvp][material]
    assert effective(kvp, material, 0.5) == pytest.approx(thin, rel=0.03)
    assert effective(kvp, material, 5.0) == pytest.approx(thick, rel=0.035)


@pytest.mark.parametrize("kvp", KERATIN)
def test_keratin_is_a_sum_of_water_and_bone(kvp):
    thin, thick = KERATIN[kvp]
    assert effective(kvp, "keratin", 0.5) == pytest.approx(thin, rel=0.03)
    assert effective(kvp, "keratin", 5.0) == pytest.approx(thick, rel=0.035)


@pytest.mark.parametrize("kvp", KVPS)
def test_a_longer_path_hardens_the_beam(kvp):
    per_cm = [spectrum(kvp).attenuation(length, 0) / length for length in (0.1, 1, 5, 20)]
    assert np.all(np.diff(per_cm) < 0)


def test_higher_voltage_gives_more_quanta_and_penetrates_better():
    assert np.all(np.diff([spectrum(kvp).quanta for kvp in KVPS]) > 0)
    assert np.all(np.diff([spectrum(kvp).attenuation(10, 1) for kvp in KVPS]) < 0)


@pytest.mark.parametrize("material", ["steel", "lead"])
def test_metal_on_paper_never_lets_more_through_than_nothing(material):
    for kvp in KVPS:
        assert effective(kvp, material, 0.01) > 5
        assert effective(kvp, material, 0.1) > 5


def test_nearest_tabulated_voltage_is_chosen():
    assert nearest_kvp(30) == 45
    assert nearest_kvp(57.4) == 55
    assert nearest_kvp(200) == 100
