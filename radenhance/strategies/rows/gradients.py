"""Gradients of all rows: summed over the processes while the backward pass goes on.

A large gradient is summed where it is as soon as it is whole; small ones wait for each other, and
go together. All processes send in one order, that of the layers from the last one to the first, so
that a message meets its like, whichever gradient is whole first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

LARGE = 2**18
"""Values of a gradient from which on it is a message by itself, and nothing is copied."""

TOGETHER = 2**22
"""Values of small gradients in a message, at most."""


def messages_of(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the parameters whose gradients are summed in one message each, in their order.

    Args:
        parameters: Parameters in the order of the layers; those that are not trained are left out.
    """
    messages: list[list[nn.Parameter]] = []
    small: list[nn.Parameter] = []
    for parameter in reversed([one for one in parameters if one.requires_grad]):
        if parameter.numel() >= LARGE:
            messages.append([parameter])
            continue
        full = sum(one.numel() for one in small) + parameter.numel() > TOGETHER
        if small and (full or small[0].dtype != parameter.dtype):
            messages.append(small)
            small = []
        small.append(parameter)
    return [*messages, small] if small else messages


@contextmanager
def summed_gradients(parameters: Sequence[nn.Parameter], num_replicas: int = 1) -> Iterator[None]:
    """Sum the gradients that a backward pass in the block makes over all processes.

    Parameters without a gradient must have none in any process.

    Args:
        parameters: Parameters in the order of the layers.
        num_replicas: Images that are trained on at a time, over which gradients are averaged.
    """
    sums = _Sums(messages_of(parameters))
    hooks = [
        parameter.register_post_accumulate_grad_hook(sums.is_whole)  # type: ignore[no-untyped-call]
        for message in sums.messages
        for parameter in message
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    sums.finish(num_replicas)


class _Sums:
    def __init__(self, messages: list[list[nn.Parameter]]) -> None:
        self.messages = messages
        self._awaited = [len(message) for message in messages]
        self._number = {id(one): i for i, message in enumerate(messages) for one in message}
        self._num_begun = 0
        self._begun: list[tuple[Any, Tensor, list[Tensor]]] = []

    def is_whole(self, parameter: Tensor) -> None:
        """Note that a gradient is whole, and begin to sum those whose turn it is."""
        self._awaited[self._number[id(parameter)]] -= 1
        while self._num_begun < len(self.messages) and not self._awaited[self._num_begun]:
            self._begin()

    def finish(self, num_replicas: int) -> None:
        """Sum what is left, of parameters that were not used; wait for all."""
        while self._num_begun < len(self.messages):
            self._begin()
        for work, summed, gradients in self._begun:
            work.wait()
            if num_replicas > 1:
                summed /= num_replicas
            if summed is not gradients[0]:
                parts = torch.split(summed, [gradient.numel() for gradient in gradients])
                for gradient, part in zip(gradients, parts, strict=True):
                    gradient.copy_(part.view_as(gradient))
        self._begun.clear()

    def _begin(self) -> None:
        message = self.messages[self._num_begun]
        self._num_begun += 1
        gradients = [one.grad for one in message if one.grad is not None]
        if not gradients:
            return
        if len(gradients) == 1 and gradients[0].is_contiguous():
            summed = gradients[0]
        else:
            summed = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._begun.append((dist.all_reduce(summed, async_op=True), summed, gradients))
