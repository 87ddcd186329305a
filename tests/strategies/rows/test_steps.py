"""Steps by rows are those of one device, in float64, whatever the shares."""

import pytest
from by_rows import counted_by_rows, measured_by_rows, trained_by_rows
from processes import run_nodes

GATED = "tu-regnety_002"

CASES = {
    2: [
        ("resnet18", (102, 64), {"band_rows": 6}),
        ("resnet18", (150, 70), {"checkpointing": "unit", "fused_upsampling": False}),
        (GATED, (140, 70), {"checkpointing": "stage"}),
    ],
    3: [("resnet34", (140, 70), {})],
    4: [("resnet18", (150, 64), {})],
}
"""Number of processes -> encoder, rows and columns, and memory techniques."""


@pytest.mark.parametrize("num", CASES)
def test_weights_gradients_and_statistics_are_those_of_one_device(tmp_path, num):
    run_nodes(trained_by_rows, num, CASES[num], folder=tmp_path / "run", num=num)


def test_measures_are_those_of_whole_images(tmp_path):
    sizes = [(96, 70), (133, 200), (330, 180)]
    run_nodes(measured_by_rows, 3, sizes, folder=tmp_path / "run", num=3)


def test_what_is_counted_is_what_is_sent(tmp_path):
    task = (counted_by_rows, 2, "tu-mobilenetv3_small_050", (96, 64), {"band_rows": 8})
    run_nodes(*task, folder=tmp_path / "run")
