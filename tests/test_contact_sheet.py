from pathlib import Path

import cv2
import numpy as np

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
