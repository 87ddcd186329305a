"""Everything about a tensor but its values, as a process tells it to one that allocates for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import torch
from torch import Tensor

from radenhance.errors import RadenhanceError

MAX_BYTES = 2**36
"""Bytes of all tensors that are announced together."""

MAX_TENSORS = 2**16

MAX_AXES = 16

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        *("bool", "uint8", "int8", "int16", "int32", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    )
}
"""Name -> type of a tensor's elements."""


@dataclass(frozen=True)
class TensorMeta:
    """Everything about a tensor but its values.

    Args:
        shape: The tensor's shape, of one micro-batch.
        dtype: The type of its elements.
        requires_grad: Whether a gradient comes back for it; false behind frozen layers.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool = False

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        """Return the description of `tensor`."""
        return cls(tuple(tensor.shape), tensor.dtype, tensor.requires_grad)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the description that `to_json` made `data` of.

        Raises:
            ValueError: It is none.
        """
        match data:
            case [list(shape), str(name), bool(requires_grad)] if (
                len(shape) <= MAX_AXES
                and all(type(size) is int and size >= 0 for size in shape)
                and name in DTYPES
            ):
                return cls(tuple(shape), DTYPES[name], requires_grad)
        raise ValueError("no description of a tensor")

    def to_json(self) -> list[Any]:
        """Return the description as plain data."""
        return [list(self.shape), str(self.dtype).removeprefix("torch."), self.requires_grad]

    def on_meta(self) -> Tensor:
        """Return a tensor of this shape and type without values."""
        tensor = torch.empty(self.shape, dtype=self.dtype, device="meta")
        return tensor.requires_grad_(self.requires_grad)


def check_size(metas: Sequence[TensorMeta]) -> None:
    """Refuse tensors that would take more memory than those of any message of this program.

    Args:
        metas: Descriptions of all tensors that are to be received.

    Raises:
        RadenhanceError: They take more.
    """
    num_bytes = sum(prod(meta.shape) * meta.dtype.itemsize for meta in metas)
    if num_bytes > MAX_BYTES or len(metas) > MAX_TENSORS:
        raise not_understood(f"{len(metas)} tensors of {num_bytes} bytes")


def not_understood(why: str) -> RadenhanceError:
    """Return the error of a process that got what no process of this program sends.

    Args:
        why: What is wrong with it.
    """
    return RadenhanceError(
        f"another process of this run sent what radenhance does not send: {why}; start all "
        f"processes with the same version, in a network that nobody else reaches"
    )
