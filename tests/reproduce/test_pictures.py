"""Bars as long as the memory, and the original's best and worst images."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from radenhance.reproduce import pictures as module
from radenhance.reproduce.pictures import BACKWARD, FORWARD, bars, pictures
from radenhance.reproduce.results import Results

SVG = "{http://www.w3.org/2000/svg}"


def drawn(scene, number):
    (found,) = [figure for figure in bars(Results(scene.study)) if figure.number == number]
    return found


def test_a_bar_is_as_long_as_the_memory_relative_to_the_original(scene):
    root = ET.fromstring(drawn(scene, "4").svg)
    lengths = [(bar.get("fill"), float(bar.get("width"))) for bar in root.iter(f"{SVG}rect")]
    whole = lengths[0][1] + lengths[1][1]
    shares = [(color, length / whole) for color, length in lengths]
    assert shares == [
        (FORWARD, pytest.approx(0.6, abs=1e-3)),
        (BACKWARD, pytest.approx(0.4, abs=1e-3)),
        (FORWARD, pytest.approx(0.3, abs=1e-3)),
        (BACKWARD, pytest.approx(0.2, abs=1e-3)),
    ]


def test_the_second_part_of_a_bar_begins_where_the_first_ends(scene):
    forward, backward, *_ = ET.fromstring(drawn(scene, "4").svg).iter(f"{SVG}rect")
    end = float(forward.get("x")) + float(forward.get("width"))
    assert float(backward.get("x")) == pytest.approx(end, abs=0.11)
    assert backward.get("y") == forward.get("y")


def test_bars_have_the_techniques_names_and_shares(scene):
    texts = [text.text for text in ET.fromstring(drawn(scene, "4").svg).iter(f"{SVG}text")]
    assert texts == ["Original", "1.00", "Dist", "0.50", "forward", "backward"]


def test_every_bar_lies_within_the_picture(scene):
    root = ET.fromstring(drawn(scene, "2").svg)
    for bar in root.iter(f"{SVG}rect"):
        assert float(bar.get("x")) + float(bar.get("width")) <= float(root.get("width"))
        assert float(bar.get("y")) + float(bar.get("height")) <= float(root.get("height"))


def test_a_figure_of_one_technique_alone_is_left_out(scene):
    assert {figure.number for figure in bars(Results(scene.study))} == {"2", "4"}


def test_a_figure_says_whether_it_is_planned(scene):
    assert drawn(scene, "2").title.endswith("relative to Original (planned)")


@pytest.fixture
def enhanced(monkeypatch):
    """Images of 0.5 enhanced by each recipe, with the MS-SSIM that is given for it."""
    similarities = {"original": (0.9, 0.95, 0.7), "amp": (0.8, 0.6, 0.99)}
    sheets = []

    def of(run):
        image = np.full((8, 8), 0.5 if run.recipe == "original" else 0.6, np.float32)
        return [
            module._Enhanced(np.full((8, 8), i, np.float32), image, similarity, 30.0)
            for i, similarity in enumerate(similarities[run.recipe])
        ]

    monkeypatch.setattr(module, "_enhanced", of)
    monkeypatch.setattr(module, "write_contact_sheet", lambda path, rows: sheets.append(rows))
    return sheets


def test_best_and_worst_are_the_originals_and_the_technique_shows_the_same_images(scene, enhanced):
    scene.finish("original")
    scene.finish("amp")
    (picture,) = pictures(Results(scene.study), scene.study.out)
    assert picture.path.name == "figure_3.png"
    best, worst = enhanced[0]
    assert [row.images[0][0, 0] for row in (best, worst)] == [1, 2]  # the targets' numbers
    assert best.captions[1].startswith("Original: MS-SSIM 0.9500")
    assert best.captions[2].startswith("AMP: MS-SSIM 0.6000")
    assert worst.captions[2].startswith("AMP: MS-SSIM 0.9900")


def test_the_difference_is_shown_enlarged(scene, enhanced):
    scene.finish("original")
    scene.finish("amp")
    pictures(Results(scene.study), scene.study.out)
    best = enhanced[0][0]
    assert best.images[3] == pytest.approx(np.full((8, 8), 0.4), abs=1e-6)
    assert best.captions[3] == "their difference, 4 times"


def test_without_the_original_there_are_no_images(scene, enhanced):
    scene.finish("amp")
    assert pictures(Results(scene.study), scene.study.out) == []
