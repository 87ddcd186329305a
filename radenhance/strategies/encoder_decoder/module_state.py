"""What a step leaves in a LightningModule, taken back.

The encoder's process needs a step's image before the step can go on: it runs the step up to the
network, sends the features, and runs the step again, to its end, once the decoder's output is
there. What the first run counted, collected or normalized must not be there twice.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Undo = Callable[[], None]


@contextmanager
def undone(module: nn.Module, network: nn.Module) -> Iterator[None]:
    """Undo what the block does to attributes, buffers and metrics of a module.

    Objects of other classes that it holds are not looked into.

    Args:
        module: The module.
        network: The part of it that the block does not run.
    """
    inside = {id(part) for part in network.modules()}
    undo = [_keep(vars(part)) for part in module.modules() if id(part) not in inside]
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def _keep(value: Any) -> Undo:
    """Return a function that gives a container or tensor the content that it has now."""
    if isinstance(value, dict):
        return _undo(value.clear, value.update, dict(value), list(value.values()))
    if isinstance(value, list | deque):
        return _undo(value.clear, value.extend, list(value), list(value))
    if isinstance(value, set):
        return _undo(value.clear, value.update, set(value), [])
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return _undo(_nothing, value.data.copy_, value.detach().clone(), [])
    return _nothing


def _undo(clear: Undo, fill: Callable[[Any], object], content: Any, items: Sequence[Any]) -> Undo:
    inner = [undo for undo in map(_keep, items) if undo is not _nothing]

    def undo() -> None:
        clear()
        fill(content)
        for one in inner:
            one()

    return undo


def _nothing() -> None:
    """Undo nothing."""
