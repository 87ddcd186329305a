"""Batches come apart into micro-batches, and the results together again."""

from typing import NamedTuple

import pytest
import torch

from radenhance.errors import UsageError
from radenhance.strategies.encoder_decoder.batches import joined, micro_batches, num_samples


class Named(NamedTuple):
    x: torch.Tensor
    name: list


def test_micro_batches_divide_tensors_and_names_and_come_together_again():
    batch = {"raw": torch.arange(4), "case": ["a", "b", "c", "d"], "of": "fit"}
    parts = micro_batches(batch, 2)
    assert [part["case"] for part in parts] == [["a", "b"], ["c", "d"]]
    assert parts[1]["raw"].tolist() == [2, 3]
    together = joined(parts)
    assert together["raw"].tolist() == [0, 1, 2, 3]
    assert together["case"] == batch["case"]
    assert together["of"] == "fit"


def test_a_named_tuple_stays_one():
    parts = micro_batches(Named(torch.arange(2), ["a", "b"]), 1)
    assert parts[1] == Named(torch.tensor([1]), ["b"])
    assert joined(parts).name == ["a", "b"]


def test_what_has_no_samples_is_in_every_part():
    scale, table = torch.tensor(2.0), torch.rand(3, 5)
    first, second = micro_batches((torch.rand(2, 1), scale, table, [torch.rand(2)]), 1)
    for part in (first, second):
        assert part[1] is scale
        assert part[2] is table  # three rows, where the batch has two samples
        assert len(part[3][0]) == 1


def test_a_batch_of_one_micro_batch_is_not_copied():
    batch = {"raw": torch.rand(2, 1)}
    (part,) = micro_batches(batch, 2)
    assert part is batch


def test_the_length_is_that_of_the_first_tensor_that_has_one():
    assert num_samples(({"scale": torch.tensor(1.0)}, torch.rand(3, 2), torch.rand(5))) == 3


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(UsageError, match="no tensor with a length, expected one"):
        num_samples({"case": ["a", "b"], "scale": torch.tensor(1.0)})


def test_results_are_averaged_where_they_have_no_samples():
    results = [
        {"loss": torch.tensor(1.0), "score": 0.5, "epoch": 3},
        {"loss": torch.tensor(3.0), "score": 1.5, "epoch": 3},
    ]
    assert joined(results) == {"loss": torch.tensor(2.0), "score": 1.0, "epoch": 3}


def test_steps_that_return_nothing_return_nothing_together():
    assert joined([None, None]) is None


def test_parts_with_other_numbers_of_images_are_not_divided_by_the_first():
    batch = {"labelled": torch.rand(4, 1, 8, 8), "other": torch.rand(2, 1, 8, 8)}
    with pytest.raises(UsageError, match=r"are 2 and 4, .*\(micro_batch_size=4\)"):
        micro_batches(batch, 2)
    assert micro_batches(batch, 4) == [batch]  # whole, as on one device


def test_all_micro_batches_have_a_table_of_another_length():
    parts = micro_batches([torch.rand(4, 1, 8, 8), torch.arange(3.0)], 2)
    assert [len(table) for _, table in parts] == [3, 3]
