"""What processes of a run tell each other, as JSON: data that nothing runs when it is read.

The object collectives of torch.distributed send pickles, and a pickle names functions that are
called where it is read: whoever reaches a port of the run would run any command. JSON has values
alone. A container, and what JSON has no word for, is an object with one key, which says its kind:

    {"raw": tensor, "case": ("cat1",)}

    {"dict": [["raw", {"tensor": [[1, 1, 64, 64], "float32", false]}],
              ["case", {"tuple": ["cat1"]}]]}

Of a tensor there is the description; its values follow as tensors. All of it is checked before
anything is allocated for it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from radenhance.errors import UsageError
from radenhance.strategies.leaves import leaves_in
from radenhance.strategies.tensor_meta import DTYPES, TensorMeta, check_size, not_understood

MAX_MESSAGE_BYTES = 2**24
"""Bytes of a message without its tensors: the state of an optimizer takes a hundredth of it."""

MAX_DEPTH = 32
"""Containers within containers."""


def encode(value: Any, tensors: list[Tensor]) -> bytes:
    """Return a value as a message.

    Args:
        value: None, numbers, strings, paths and tensors, in dicts, lists and tuples.
        tensors: The value's tensors are appended to it.

    Raises:
        UsageError: The value is, or holds, anything else, or is too large.
    """
    try:
        content = json.dumps(_to_json(value, tensors), separators=(",", ":")).encode()
    except RecursionError:
        raise UsageError("a value that is nested without end cannot be sent") from None
    if len(content) > MAX_MESSAGE_BYTES:
        raise UsageError(
            f"{len(content)} bytes cannot be sent to another process, expected at most "
            f"{MAX_MESSAGE_BYTES}; send large data as tensors"
        )
    return content


def decode(content: bytes) -> Any:
    """Return what a message says, a `TensorMeta` in place of each tensor.

    Raises:
        RadenhanceError: It is no message of this program, or asks for too much memory.
    """
    try:
        value = _from_json(json.loads(content), MAX_DEPTH)
    except (RecursionError, TypeError, ValueError, KeyError) as error:
        raise not_understood("it is no plain data") from error
    check_size(leaves_in(value, TensorMeta))
    return value


def _to_json(value: Any, tensors: list[Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor) and value.dtype in DTYPES.values():
        tensors.append(value)
        return {"tensor": TensorMeta.of(value).to_json()}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, dict):
        return {"dict": [[_to_json(part, tensors) for part in item] for item in value.items()]}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_to_json(item, tensors) for item in value]}
    what = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
    raise UsageError(
        f"{what} cannot be sent to another process, expected tensors, numbers, "
        f"strings and None in dicts, lists and tuples"
    )


def _from_json(data: Any, depth: int) -> Any:
    if isinstance(data, dict) and depth:
        ((kind, content),) = data.items()
        return _READERS[kind](content, depth - 1)
    if isinstance(data, dict | list):
        raise ValueError("too deep, or a list without its kind")
    return data


def _items(content: Any, depth: int) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError("no list")
    return [_from_json(item, depth) for item in content]


def _dict(content: Any, depth: int) -> dict[Any, Any]:
    return {_from_json(key, depth): _from_json(item, depth) for key, item in content}


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "dict": _dict,
    "list": _items,
    "tuple": lambda content, depth: tuple(_items(content, depth)),
    "path": lambda content, depth: Path(content),
    "tensor": lambda content, depth: TensorMeta.from_json(content),
}
