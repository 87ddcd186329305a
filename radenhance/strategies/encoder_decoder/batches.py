"""Batches of any structure: divided into micro-batches, and the results joined again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from radenhance.errors import UsageError
from radenhance.strategies.leaves import leaves_in, like


def num_samples(batch: Any) -> int:
    """Return the length of a batch, which is that of its first tensor with a length.

    Raises:
        UsageError: The batch has no such tensor.
    """
    for tensor in leaves_in(batch, Tensor):
        if tensor.ndim:
            return len(tensor)
    raise UsageError(
        "the batch has no tensor with a length, expected one: the strategy encoder_decoder divides "
        "batches into micro-batches"
    )


def micro_batches(batch: Any, size: int) -> list[Any]:
    """Return the batch in parts of `size` samples, in order.

    Tensors are divided along their first axis where that has the batch's length, and so are lists
    of that length without tensors, such as lists of names. Every part has all of the rest.

    Args:
        batch: Dicts, lists and tuples of tensors.
        size: Samples of a part, a divisor of the batch's length.

    Raises:
        UsageError: Images of the batch are not as many as its first tensor has.
    """
    num = num_samples(batch)
    if num == size:
        return [batch]
    lengths = {len(tensor) for tensor in leaves_in(batch, Tensor) if tensor.ndim > 2} | {num}
    if len(lengths) > 1:
        numbers = " and ".join(map(str, sorted(lengths)))
        raise UsageError(
            f"the images of a batch are {numbers}, expected as many in each of its parts, which "
            f"are divided into micro-batches; use loaders of one batch size, or "
            f"EncoderDecoderStrategy(micro_batch_size={num})"
        )
    return [_part(batch, num, slice(i, i + size)) for i in range(0, num, size)]


def joined(results: Sequence[Any]) -> Any:
    """Return the results of a batch's micro-batches as the result of one step.

    Tensors are concatenated along their first axis, and lists too; numbers and tensors without an
    axis are averaged.
    """
    first = results[0]
    if len(results) == 1 or first is None:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(results)) if first.ndim else torch.stack(list(results)).mean()
    if isinstance(first, dict):
        return {key: joined([result[key] for result in results]) for key in first}
    if isinstance(first, list):
        return [item for result in results for item in result]
    if isinstance(first, tuple):
        return like(first, [joined(items) for items in zip(*results, strict=True)])
    return sum(results) / len(results) if isinstance(first, float) else first


def _part(batch: Any, num: int, rows: slice) -> Any:
    if isinstance(batch, Tensor):
        return batch[rows] if batch.ndim and len(batch) == num else batch
    if isinstance(batch, dict):
        return {key: _part(item, num, rows) for key, item in batch.items()}
    if isinstance(batch, list | tuple):
        if len(batch) == num and not leaves_in(batch, Tensor):
            return batch[rows]
        return like(batch, [_part(item, num, rows) for item in batch])
    return batch
