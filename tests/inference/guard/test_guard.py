"""The verdict, and the file with its thresholds."""

import json

import numpy as np
import pytest

from radenhance.errors import UsageError
from radenhance.inference.guard.bands import Box
from radenhance.inference.guard.guard import COLORS, Calibration, Guard, Verdict, draw

CALIBRATION = Calibration("ab" * 32, [4.0] * 3, 2.0, "training", {"cat": 4.0}, {"cat": 6})


def source():
    return np.random.default_rng(0).random((96, 96), np.float32) * np.float32(0.01) + 0.5


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    CALIBRATION.write(tmp_path / "guard.json")
    assert Guard.open(tmp_path / "guard.json").calibration == CALIBRATION


def test_the_calibration_of_another_checkpoint_is_refused(tmp_path):
    CALIBRATION.write(tmp_path / "guard.json")
    with pytest.raises(UsageError, match="make one with `radenhance guard`"):
        Guard.open(tmp_path / "guard.json", checkpoint_sha256="cd" * 32)
    assert Guard.open(tmp_path / "guard.json", checkpoint_sha256="ab" * 32).calibration


def test_the_calibration_of_another_size_is_refused(tmp_path):
    CALIBRATION.write(tmp_path / "guard.json")
    with pytest.raises(UsageError, match="for --at training, got --at native; .* --at native`"):
        Guard.open(tmp_path / "guard.json", at="native")
    assert Guard.open(tmp_path / "guard.json", at="training").calibration


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "radenhance guard 1"}', json.dumps({"format": "other"})]
)
def test_what_is_no_calibration_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "guard.json").write_text(text)
    with pytest.raises(UsageError, match="is no calibration of the guard"):
        Guard.open(tmp_path / "guard.json")


def test_an_untouched_output_is_accepted_and_an_invented_detail_is_not():
    enhanced = source()
    assert Guard(CALIBRATION).judge(source(), enhanced, 0.3).accepted
    enhanced[40:48, 40:48] += 0.2
    verdict = Guard(CALIBRATION).judge(source(), enhanced, 0.3)
    assert not verdict.accepted
    assert (verdict.num_invented, verdict.num_erased) == (1, 0)
    assert "1 invented and 0 erased" in verdict.sentence


def test_the_width_is_that_of_the_species():
    widths = [
        Guard(CALIBRATION).judge(source(), source(), 0.3, species=species).mean_width
        for species in ("cat", "dog")
    ]
    assert widths[0] == pytest.approx(2 * widths[1])


@pytest.mark.parametrize("guard", [Guard.open(None), Guard(CALIBRATION)])
def test_the_sentence_is_printable_ascii_and_says_what_is_not_known(guard):
    verdict = guard.judge(source(), source(), None)
    assert verdict.sentence.isascii()
    assert verdict.sentence.isprintable()
    assert "no pixel size" in verdict.sentence
    assert ("not calibrated" in verdict.sentence) == (guard.calibration is None)


def test_boxes_are_drawn_in_the_color_of_their_kind():
    box = Box(40, 30, 50, 60, "erased", 5.0)
    picture = draw(Verdict([box], None, ""), np.zeros((100, 100), np.float32))
    assert tuple(picture[39, 45]) == COLORS["erased"]
    assert not picture[45, 45].any()
