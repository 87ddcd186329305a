"""Within `by_rows`, functions compute by rows, or are refused by name."""

import pytest
import torch
import torch.nn.functional as F
from by_rows import operators_by_rows
from processes import run_nodes

from radenhance.errors import UsageError
from radenhance.rows.link import CountingLink
from radenhance.rows.operators import again, by_hand, by_rows
from radenhance.rows.share import RowShare, share_out

SHARE = RowShare(CountingLink(0, 2), share_out(128, 96, 2), 96)


@pytest.fixture
def rows():
    return torch.rand(1, 4, 64, 96)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: F.pad(x, (1, 1, 1, 1)), "pad"),
        (lambda x: x.flatten(2), "flatten"),
        (lambda x: x.permute(0, 2, 3, 1), "permute"),
        (lambda x: x.mT, "__get__"),
        (lambda x: x[:, :, ::2], "__getitem__"),
        (lambda x: torch.cat([x, x], dim=2), "cat"),
        (lambda x: x.softmax(2), "softmax"),
        (lambda x: x.mean(), "mean"),
        (lambda x: F.dropout(x, 0.1), "dropout"),
        (lambda x: F.avg_pool2d(x, 3, 1, 1), "avg_pool2d"),
        (lambda x: F.adaptive_avg_pool2d(x, 2), "adaptive_avg_pool2d"),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), "interpolate"),
        (lambda x: F.conv2d(x, torch.rand(4, 4, 3, 3)), "divide a convolution"),
        (lambda x: F.max_pool2d(x, 3, 2), "max_pool2d"),
        (lambda x: F.instance_norm(x), "instance_norm"),
        (lambda x: x.numpy(), "numpy"),
    ],
)
def test_what_may_look_across_rows_is_refused_by_name(rows, function, name):
    with by_rows(SHARE), pytest.raises(UsageError, match=f"strategy rows.*{name}"):
        function(rows)


def test_what_is_of_each_pixel_runs_as_it_is(rows):
    before = SHARE.link.num_messages
    with by_rows(SHARE):
        result = torch.cat([F.relu(rows) * 2, rows[:, :2]], dim=1)
        halves = result.chunk(2, dim=1)
    assert torch.equal(result, torch.cat([rows.relu() * 2, rows[:, :2]], dim=1))
    assert len(halves) == 2
    assert SHARE.link.num_messages == before


def test_what_computes_by_hand_is_left_alone_and_gets_the_share(rows):
    with by_rows(SHARE), by_hand() as share:
        assert share is SHARE
        assert F.pad(rows, (1, 1, 1, 1)).shape == (1, 4, 66, 98)
    with by_hand() as share:
        assert share is None


def test_a_recomputation_is_by_rows_again(rows):
    with by_rows(SHARE):
        as_before = again()
    with as_before(), pytest.raises(UsageError, match="pad"):
        F.pad(rows, (1, 1))
    with again()():
        F.pad(rows, (1, 1))


def test_functions_over_rows_are_those_of_whole_maps(tmp_path):
    strides = (1, 2, 16)  # shares of 64 rows, and of two, whose halos come from several processes
    run_nodes(operators_by_rows, 3, 150, 70, strides, folder=tmp_path / "run", num=3)
