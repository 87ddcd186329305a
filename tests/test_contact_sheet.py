from pathlib import Path

import cv2
import numpy as np
import pytest

from radenhance.contact_sheet import BACKGROUND, Row, contact_sheet, write_contact_sheet


def test_values_are_shown_as_they_are_and_never_stretched():
    sheet = contact_sheet([Row("half grey", [np.full((50, 80), 0.5)], ["raw"])])
    tile = sheet[sheet != BACKGROUND]
    assert np.median(tile) == 128


def test_images_of_any_proportion_stand_beside_each_other(tmp_path):
    images = [np.ones((900, 300)), np.ones((20, 1000)), np.ones((10, 10))]
    rows = [Row("first", images, ["a", "b", "c"]), Row("second", images[:1], ["a"])]
    write_contact_sheet(tmp_path / "sheet.png", rows)
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(sheet, contact_sheet(rows))
    assert (sheet[26 : 26 + 360, 368:] == 255).any(axis=0).sum() > 700
    assert Path(tmp_path / "sheet.png").stat().st_size > 0


def test_images_of_any_size_and_rows_of_any_length_fit_one_sheet():
    image = np.full((4, 900), 0.5, np.float32)
    tall = image.T.repeat(3, axis=1)
    one, two = Row("one", [image], ["a"]), Row("two", [image, tall], ["a", "b"])
    both = contact_sheet([one, two])
    assert both.dtype == np.uint8
    assert both.shape == (2 * contact_sheet([two]).shape[0], contact_sheet([two]).shape[1])


@pytest.mark.parametrize("letter", ["i", "W", "\x1b"])
def test_a_long_caption_stays_below_its_image_and_keeps_its_end(letter):
    image = np.zeros((4, 4), np.float32)
    sheet, other = (
        contact_sheet([Row("", [image, image], [letter * 400 + end, ""])])[-26:]
        for end in ("_1", "_2")
    )
    assert (sheet[:, 370:] == BACKGROUND).all()
    assert not np.array_equal(sheet, other)


def test_an_image_without_a_caption_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([Row("one", [np.zeros((4, 4), np.float32)], [])])


def test_a_title_of_others_is_drawn_as_text_in_one_line():
    image = np.zeros((4, 4), np.float32)
    hostile = contact_sheet([Row("a\nb\x1b[2J", [image], ["c\td"])])
    written_out = contact_sheet([Row(r"a\nb\x1b[2J", [image], [r"c\td"])])
    assert np.array_equal(hostile, written_out)
    assert not np.array_equal(hostile, contact_sheet([Row("", [image], [""])]))
