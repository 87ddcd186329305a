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


def bars_of(scene, number):
    """Return the rectangles of a figure but for its background, the first."""
    return list(ET.fromstring(drawn(scene, number).svg).iter(f"{SVG}rect"))[1:]


def test_a_bar_is_as_long_as_the_memory_relative_to_the_original(scene):
    lengths = [(bar.get("fill"), float(bar.get("width"))) for bar in bars_of(scene, "4")]
    whole = lengths[0][1] + lengths[1][1]
    shares = [(color, length / whole) for color, length in lengths]
    assert shares == [
        (FORWARD, pytest.approx(0.6, abs=1e-3)),
        (BACKWARD, pytest.approx(0.4, abs=1e-3)),
        (FORWARD, pytest.approx(0.3, abs=1e-3)),
        (BACKWARD, pytest.approx(0.2, abs=1e-3)),
    ]


def test_the_second_part_of_a_bar_begins_where_the_first_ends(scene):
    forward, backward, *_ = bars_of(scene, "4")
    end = float(forward.get("x")) + float(forward.get("width"))
    assert float(backward.get("x")) == pytest.approx(end, abs=0.11)
    assert backward.get("y") == forward.get("y")


def test_bars_have_the_techniques_names_and_shares(scene):
    texts = [text.text for text in ET.fromstring(drawn(scene, "4").svg).iter(f"{SVG}text")]
    title, *names = texts[:3]
    assert title.startswith("Figure 4. Memory of forward and backward phase")
    assert names == ["Original", "Dist"]
    assert texts[3:] == ["512 px: 100 MiB", "1.00", "0.50", "0", "0.5", "1", "forward", "backward"]


def test_every_bar_lies_within_the_picture(scene):
    root = ET.fromstring(drawn(scene, "2").svg)
    for bar in bars_of(scene, "2"):
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
            module._Enhanced(image / 2, np.full((8, 8), i, np.float32), image, similarity, 30.0)
            for i, similarity in enumerate(similarities[run.recipe])
        ]

    monkeypatch.setattr(module, "_enhanced", of)
    monkeypatch.setattr(module, "write_contact_sheet", lambda path, rows: sheets.append(rows))
    return sheets


def test_best_and_worst_are_the_originals_and_the_technique_shows_the_same_images(scene, enhanced):
    scene.finish("original")
    scene.finish("amp")
    (picture,) = pictures(Results(scene.study), scene.study.out)
    assert (picture.number, picture.path.name) == ("3", "figure_3.png")
    best, worst = enhanced[0]
    assert best.title == "Figure 3: the original's best of 3 validation images"
    assert [row.images[1][0, 0] for row in (best, worst)] == [1, 2]  # the targets' numbers
    assert best.captions[2].startswith("Original: MS-SSIM 0.9500")
    assert best.captions[3].startswith("AMP: MS-SSIM 0.6000")
    assert worst.captions[3].startswith("AMP: MS-SSIM 0.9900")


def test_an_image_stands_as_raw_target_original_and_technique(scene, enhanced):
    scene.finish("original")
    scene.finish("amp")
    pictures(Results(scene.study), scene.study.out)
    best = enhanced[0][0]
    assert [float(image[0, 0]) for image in best.images] == pytest.approx([0.25, 1, 0.5, 0.6])
    assert best.captions[:2] == ["raw, as the network sees it", "target"]


def test_without_the_original_there_are_no_images(scene, enhanced):
    scene.finish("amp")
    assert pictures(Results(scene.study), scene.study.out) == []
