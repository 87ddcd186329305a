from pathlib import Path

import cv2
import pytest

from radenhance.cli import main
from radenhance.command_line.showcase import report
from radenhance.inference.comparison import Comparison


def test_a_checkpoint_is_compared_on_synthetic_and_real_images(tiny_flags, tiny_dataset, capsys):
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=1"]) == 0
    capsys.readouterr()
    assert main(["showcase", "--root", str(tiny_dataset), "--sheet", "sheet.png"]) == 0
    printed = capsys.readouterr().out
    assert "On validation the network" in printed
    assert str(tiny_dataset) not in printed
    assert "real (RG1, RG3)" in printed
    assert str(Path("sheet.png").resolve()) in printed
    sheet = cv2.imread("sheet.png", cv2.IMREAD_GRAYSCALE)
    assert sheet.shape[0] > 4 * 360
    assert sheet.std() > 10


@pytest.mark.parametrize(("enhanced", "verdict"), [(0.9, "beats"), (0.7, "does not beat")])
def test_report_says_whether_the_network_beats_the_raw_images(enhanced, verdict):
    text = report([Comparison("validation of x", 12, 0.8, enhanced)])
    assert f"the network {verdict} the raw images" in text
    assert "0.8000" in text
