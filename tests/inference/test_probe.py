from zlib import crc32

import pytest

from radenhance.inference.probe import BLOCK, COLUMNS, ROWS, ProbeOutput, probe


def test_the_image_never_changes_as_packages_know_what_networks_make_of_it():
    image = probe()
    assert image.shape == (ROWS, COLUMNS)
    assert crc32(image.astype("<u2").tobytes()) == 3101733730
    assert image.std() > 5000


def test_a_size_of_its_own_fills_the_range_of_16_bits_without_overflow():
    image = probe(97, 131)
    assert image.shape == (97, 131)
    assert 12000 <= image.min() < image.max() < 2**16 - 1


def test_an_output_comes_back_from_json():
    output = ProbeOutput("0" * 64, tuple(0.5 for _ in range(ROWS * COLUMNS // BLOCK**2)))
    assert ProbeOutput.from_json(output.as_json()) == output
    moved = ProbeOutput("1" * 64, (0.25, *output.block_means[1:]))
    assert output.difference(moved) == pytest.approx(0.25)
