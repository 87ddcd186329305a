"""Values of any structure: what their dicts, lists and tuples hold."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """Return a value with `function` applied to all in it that is no dict, list or tuple."""
    if isinstance(value, dict):
        return {key: map_leaves(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return like(value, [map_leaves(function, item) for item in value])
    return function(value)


def leaves_in(value: Any, kind: type[T]) -> list[T]:
    """Return what is of a kind in a value, in order."""
    found: list[Any] = []
    map_leaves(found.append, value)
    return [leaf for leaf in found if isinstance(leaf, kind)]


def like(sequence: Sequence[Any], items: Iterable[Any]) -> Any:
    """Return items as a list, tuple or named tuple, as another one is."""
    named = hasattr(sequence, "_fields")
    return type(sequence)(*items) if named else type(sequence)(items)  # type: ignore[call-arg]
