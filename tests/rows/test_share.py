"""Shares are as equal as 32 rows allow, and begin between two rows of every map."""

import pytest
import torch

from radenhance.errors import ImageSizeError
from radenhance.rows.halo import Halo
from radenhance.rows.link import CountingLink
from radenhance.rows.share import STRIDES, UNIT, RowShare, share_out


@pytest.mark.parametrize(
    ("rows", "num", "expected"),
    [
        (128, 2, [0, 64, 128]),
        (160, 2, [0, 64, 160]),
        (170, 4, [0, 32, 64, 128, 170]),
        (4188, 3, [0, 1376, 2784, 4188]),
    ],
)
def test_shares_are_of_whole_units_and_the_last_ends_with_the_image(rows, num, expected):
    bounds = share_out(rows, 64, num)
    sizes = [b - a for a, b in zip(bounds, bounds[1:], strict=False)]
    assert bounds[-1] == rows
    assert all(bound % UNIT == 0 for bound in bounds[:-1])
    assert max(sizes) - min(sizes) < 2 * UNIT
    assert bounds == expected


@pytest.mark.parametrize(("rows", "columns", "num"), [(63, 64, 3), (40, 64, 2), (128, 32, 2)])
def test_images_that_are_too_small_are_refused(rows, columns, num):
    with pytest.raises(ImageSizeError, match="cannot be divided by rows"):
        share_out(rows, columns, num)


def test_a_share_begins_between_two_rows_of_every_map():
    share = RowShare(CountingLink(1, 3), share_out(300, 200, 3), 200)
    for stride in STRIDES:
        bounds = share.bounds_at(stride)
        assert [bound * stride for bound in bounds] == [0, 96, 192, 320]
        rows = torch.empty(1, 2, bounds[2] - bounds[1], 224 // stride)
        assert share.is_map(rows)
        assert share.stride_of(rows) == stride


def test_a_halo_ends_with_the_image():
    halo = Halo(CountingLink(1, 3), [0, 2, 3, 4], 3, 3)
    assert (halo.num_above, halo.num_below) == (2, 1)


def test_a_link_counts_what_it_sends():
    link = CountingLink(1, 3)
    share = RowShare(link, share_out(96, 64, 3), 64)
    above, below = share.halo_of(torch.zeros(1, 2, 32, 64), 1, 2).fetch(torch.zeros(1, 2, 32, 64))()
    assert (above.shape[2], below.shape[2]) == (1, 2)
    assert link.sent_bytes == (2 + 1) * 2 * 64 * 4
    assert link.num_messages == 1
