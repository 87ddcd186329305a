"""A map that is read a band at a time is the map."""

import pytest
import torch

from radenhance.memory.banding.bands import Rows, bands, fill, remembered, stored


@pytest.mark.parametrize("num_rows", [1, 7, 8, 9])
@pytest.mark.parametrize("band_rows", [1, 2, 4, 100])
def test_bands_cover_every_row_once_and_in_order(num_rows, band_rows):
    found = list(bands(num_rows, band_rows))
    assert [row for first, last in found for row in range(first, last)] == list(range(num_rows))
    assert all(last - first == band_rows for first, last in found[:-1])


def test_rows_beyond_the_image_are_zero():
    whole = torch.rand(2, 3, 5, 4)
    rows = stored(whole)
    assert torch.equal(rows(1, 3), whole[:, :, 1:3])
    halo = rows(-1, 6)
    assert torch.equal(halo[:, :, 1:6], whole)
    assert not halo[:, :, [0, 6]].any()


def test_rows_of_a_map_in_memory_have_the_dtype_that_was_asked_for():
    whole = torch.rand(1, 2, 5, 4)
    assert stored(whole, torch.bfloat16)(0, 2).dtype == torch.bfloat16
    assert stored(whole.transpose(2, 3))(0, 2).is_contiguous()


def test_a_function_of_pixels_leaves_the_zeros_beyond_the_image():
    ones = stored(torch.zeros(1, 1, 3, 2)).then(torch.exp)
    assert ones(-1, 4)[0, 0, :, 0].tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("band_rows", [1, 3, 10])
def test_a_map_filled_by_bands_is_the_map(band_rows):
    whole = torch.rand(2, 3, 7, 4)
    assert torch.equal(fill(stored(whole), band_rows), whole)


def test_a_map_may_be_written_over_what_it_is_made_of():
    whole = torch.rand(1, 2, 7, 4)
    expected = 2 * whole
    result = fill(stored(whole).then(lambda band: 2 * band), 3, into=whole)
    assert result is whole
    assert torch.equal(whole, expected)


def test_rows_that_were_read_last_are_not_computed_again():
    calls = []
    rows = remembered(Rows(8, lambda a, b: calls.append((a, b)) or torch.zeros(1, 1, b - a, 1)))
    for band in ((0, 4), (0, 4), (4, 8), (0, 4)):
        rows(*band)
    assert calls == [(0, 4), (4, 8), (0, 4)]


def test_rows_among_those_that_were_computed_last_are_not_computed_again():
    calls = []
    whole = torch.rand(1, 2, 8, 3)
    rows = remembered(Rows(8, lambda a, b: calls.append((a, b)) or whole[:, :, a:b]))
    for first, last in ((1, 6), (2, 6), (1, 3), (0, 3)):
        band = rows(first, last)
        assert torch.equal(band, whole[:, :, first:last])
    assert rows(1, 3).is_contiguous()
    assert calls == [(1, 6), (0, 3)]
