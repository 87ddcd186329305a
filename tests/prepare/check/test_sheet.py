from pathlib import Path

import cv2
import numpy as np
import pytest

from radenhance.dataset.pair import Pair
from radenhance.prepare.check.findings import PairFindings
from radenhance.prepare.check.sheet import ENLARGED_PX, difference, write_check_sheet


def anatomy(rows=150, columns=180, seed=0):
    random = np.random.default_rng(seed)
    image = sum(
        sigma * cv2.GaussianBlur(random.standard_normal((rows, columns)), (0, 0), sigma)
        for sigma in (1, 3, 9)
    )
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def test_equal_detail_is_grey_whatever_the_tone():
    image = anatomy()
    assert difference(image, image) == pytest.approx(0.5)
    assert np.abs(difference(image, 0.2 + 0.5 * image) - 0.5).max() < 0.01


def test_a_shift_and_an_inversion_stand_out():
    image = anatomy()
    equal, shifted, inverted = (
        difference(image, other).std() for other in (image, np.roll(image, 2, 1), 1 - image)
    )
    assert equal < 0.001 < 0.05 < shifted
    assert inverted > 0.2


def test_the_part_with_most_detail_is_shown():
    raw = np.full((400, 500), 0.5, np.float32)
    raw[250:370, 340:460] = anatomy(120, 120)
    found = difference(raw, np.roll(raw, 1, 0))
    assert found.shape == (ENLARGED_PX, ENLARGED_PX)
    assert found.std() > 0.05


@pytest.mark.parametrize("size", [(64, 300), (90, 90)])
def test_images_smaller_than_the_part_are_shown_whole(size):
    assert difference(anatomy(*size), anatomy(*size)).shape == tuple(min(s, 120) for s in size)


def findings(case, *, faults=(), warnings=(), accept=1):
    pair = Pair(case, "p", "raw.npy", "target.npy", "train", accept=accept)
    return PairFindings(pair, faults=faults, warnings=warnings)


def sheet_of(*given):
    image = (anatomy(70, 80) * 65535).astype(np.uint16)
    np.save("raw.npy", image)
    np.save("target.npy", 65535 - image)
    write_check_sheet(Path("sheet.png"), Path(), given)
    return cv2.imread("sheet.png", cv2.IMREAD_GRAYSCALE)


def test_faults_stand_above_warnings_and_these_above_the_rest():
    good, warned, faulty = (
        findings("a"),
        findings("b", warnings=("shifted",)),
        findings("c", faults=("inverted",)),
    )
    assert np.array_equal(sheet_of(good, warned, faulty), sheet_of(faulty, warned, good))


def test_a_sheet_has_at_most_twelve_rows_and_no_pair_that_is_not_accepted():
    rows = [sheet_of(*(findings(f"{i}") for i in range(n))).shape[0] for n in (1, 12, 14)]
    assert rows[0] < rows[1] == rows[2]
    unused = sheet_of(findings("a"), findings("b", accept=0))
    assert unused.shape[0] == rows[0]


def test_a_pair_that_cannot_be_read_has_a_row_with_its_fault():
    lost = PairFindings(Pair("x", "p", "gone", "gone", "train"), faults=("gone: no such file",))
    assert sheet_of(lost, findings("a")).shape[0] == sheet_of(findings("b"), findings("a")).shape[0]
