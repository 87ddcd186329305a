"""The figures of an evaluation as text."""

import pytest
from evaluated import evaluated

from radenhance.command_line.evaluation_table import report

WAYS = {"network (native)": "native", "network (enlarged)": "training"}


def said(figures, **options):
    return report(evaluated(figures, **options), title="test of x", notes=["A note."])


def test_a_network_that_is_better_beats_and_one_that_is_not_does_not():
    text = said({"raw": 0.5, "CLAHE": 0.7, "network": 0.9})
    assert "The network beats raw in MS-SSIM, SSIM and PSNR; it is worse than raw in MAE." in text
    assert "The network beats the best without a network in MS-SSIM, SSIM and PSNR; it" in text
    text = said({"raw": 0.5, "CLAHE": 0.7, "network": 0.6})
    assert "is worse than the best without a network in MS-SSIM, SSIM, PSNR and MAE" in text


def test_a_difference_that_chance_explains_is_no_claim():
    text = said({"raw": 0.5, "network": 0.5001})
    assert "The network is not shown to differ from raw in MS-SSIM, SSIM, PSNR and MAE." in text
    assert "beats" not in text


def test_few_patients_are_no_claim_however_much_better_the_network_is():
    text = said({"raw": 0.1, "network": 0.9}, num_cases=5)
    assert text.count("Nothing is claimed of fewer than 6 patients.") == 1
    assert "beats" not in text


def lines_of(text, heading):
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[1:]}


def test_figures_are_given_by_species_with_the_difference():
    text = said({"raw": 0.5, "network": 0.9}, num_cases=20)
    found = lines_of(text, "MS-SSIM by species")
    assert found["cat"][:2] == found["dog"][:2] == ["10", "0.5000"]
    assert float(found["dog"][3]) == pytest.approx(0.4, abs=0.02)
    assert "too few patients" in said({"raw": 0.5, "network": 0.9}, num_cases=8)
    assert "by body part" not in text


def test_means_have_their_intervals_below_them():
    lines = said({"raw": 0.5, "network": 0.9}).splitlines()
    (network,) = [i for i, line in enumerate(lines) if line.startswith("network  ")][:1]
    assert float(lines[network].split()[1]) == pytest.approx(0.9, abs=0.02)
    low, to, high = lines[network + 1].split()[:3]
    assert to == "to"
    assert float(low) < float(lines[network].split()[1]) < float(high)


@pytest.mark.parametrize(
    ("native", "enlarged", "advice"),
    [
        (0.7, 0.9, "give --at training to enhance, and --data.predict_at training to predict"),
        (0.9, 0.7, "give --at native to enhance, and --data.predict_at native to predict"),
        (0.8, 0.8, "is not shown: leave --at and --data.predict_at at auto"),
    ],
)
def test_the_better_way_to_run_a_network_is_named_with_its_flags(native, enlarged, advice):
    figures = dict(zip(WAYS, (native, enlarged), strict=True))
    found = evaluated({"raw": 0.5} | figures, shape=(200, 200))
    for name, at in WAYS.items():
        found.networks[name].at = at
    text = report(found, title="", notes=[])
    assert advice in " ".join(text.splitlines())
    assert "The network (enlarged) saw 8 of 8 radiographs reduced to 64 px" in text


def test_both_ways_are_one_where_no_radiograph_is_larger():
    text = said({"raw": 0.5} | dict.fromkeys(WAYS, 0.9), shape=(60, 60))
    assert "No radiograph is larger than the network was trained on: both ways are one." in text
    assert "--at" not in text
