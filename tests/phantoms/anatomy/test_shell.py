import numpy as np
import pytest
from drawn_regions import canvas

from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.shell import HALF_LENGTH, HALF_WIDTH, half_width, put_shell, shell


def body(thickness=3.0, height=22.0, seed=1):
    drawn = canvas(330, 260, 0.5)
    drawn.put(shell(height), "soft")
    before = drawn.water.copy()
    put_shell(drawn, shell(height), thickness=thickness, rng=generator(seed))
    return drawn, before


def test_a_shell_is_widest_behind_the_middle_and_closed_at_its_ends():
    widths = [half_width(y) for y in np.linspace(-HALF_LENGTH, HALF_LENGTH, 29).tolist()]
    assert 0.5 * HALF_WIDTH < max(widths) < 1.1 * HALF_WIDTH
    assert np.argmax(widths) > 14
    assert widths[0] == widths[-1] == 0


def test_a_shell_has_its_length_and_height():
    drawn, before = body()
    rows, columns = np.nonzero(before)
    assert np.ptp(rows) * 0.5 == pytest.approx(2 * HALF_LENGTH, abs=2)
    assert np.ptp(columns) * 0.5 == pytest.approx(2 * 1.03 * HALF_WIDTH, rel=0.05)
    assert before.max() / 1.04 == pytest.approx(4.4, rel=0.03)


def test_plates_above_and_below_add_up():
    drawn, _ = body(3.0)
    middle = np.median(drawn.bone[130:200, 90:170])
    assert middle == pytest.approx(2 * 0.3 * 0.5, rel=0.25)


def test_thicker_plates_are_denser():
    thin, thick = (np.median(body(mm)[0].bone[130:200, 90:170]) for mm in (2.2, 4.2))
    assert thick > 1.5 * thin


def test_seams_are_dark_lines_and_differ_between_animals():
    first, second = (body(seed=seed)[0].bone for seed in (1, 2))
    middle = first[110:220, 80:180]
    assert middle.min() < 0.6 * np.median(middle)
    assert 0.003 < (middle < 0.75 * np.median(middle)).mean() < 0.4
    assert not np.array_equal(first, second)


def test_nothing_is_put_beside_the_body():
    drawn, before = body()
    beside = before == 0
    assert (np.abs(drawn.bone[beside]) > 0.02).mean() < 0.01
