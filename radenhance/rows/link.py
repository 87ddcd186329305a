"""What the processes that share an image say to each other: rows to neighbours, sums to all.

All that is sent goes through here and is counted: `radenhance plan` asks the very functions that
train for the bytes of a step, with `CountingLink`, which sends nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from typing_extensions import override


class Link(ABC):
    """The processes of an image, in the order of their rows.

    Args:
        rank: Number of this process.
        num_processes: Number of processes.
    """

    def __init__(self, rank: int, num_processes: int) -> None:
        self.rank = rank
        self.num_processes = num_processes
        self.sent_bytes = 0
        """Bytes of rows that this process has sent."""
        self.summed_bytes = 0
        """Bytes that it has had summed or gathered over all."""
        self.num_messages = 0
        """Exchanges of rows, and sums, that it has waited for."""

    def exchange(
        self, sent: Mapping[int, Tensor], awaited: Mapping[int, Tensor]
    ) -> Callable[[], None]:
        """Begin to send rows and to receive others; call what is returned to wait for both.

        Args:
            sent: Contiguous tensors by the rank that gets them.
            awaited: Contiguous tensors to write to, by the rank that sends them.
        """
        if not sent and not awaited:
            return _nothing
        self.sent_bytes += sum(tensor.nbytes for tensor in sent.values())
        self.num_messages += 1
        return self._exchange(sent, awaited)

    def add_up(self, tensor: Tensor) -> Tensor:
        """Return the sum of all processes' tensors, which takes the place of this one's."""
        self._count_sum(tensor)
        self._add_up(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """Return all processes' tensors of one shape, stacked in the order of their ranks."""
        self._count_sum(tensor)
        result = tensor.new_empty((self.num_processes, *tensor.shape))
        self._gather(result, tensor.contiguous())
        return result

    def _count_sum(self, tensor: Tensor) -> None:
        self.summed_bytes += tensor.nbytes
        self.num_messages += 1

    @abstractmethod
    def _exchange(
        self, sent: Mapping[int, Tensor], awaited: Mapping[int, Tensor]
    ) -> Callable[[], None]: ...

    @abstractmethod
    def _add_up(self, tensor: Tensor) -> None: ...

    @abstractmethod
    def _gather(self, result: Tensor, tensor: Tensor) -> None: ...


class ProcessLink(Link):
    """Processes of torch.distributed.

    Args:
        group: Their group.
    """

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__(dist.get_rank(group), dist.get_world_size(group))
        self._group = group

    @override
    def _exchange(
        self, sent: Mapping[int, Tensor], awaited: Mapping[int, Tensor]
    ) -> Callable[[], None]:
        tensors = (*sent.values(), *awaited.values())
        if all(tensor.device.type == "cpu" for tensor in tensors) or not self._is_gloo:
            return self._begin(sent, awaited)
        # gloo sums tensors of a GPU, and sends none
        arriving = {
            rank: torch.empty_like(tensor, device="cpu") for rank, tensor in awaited.items()
        }
        wait_for_all = self._begin({rank: t.cpu() for rank, t in sent.items()}, arriving)

        def wait() -> None:
            wait_for_all()
            for rank, tensor in awaited.items():
                tensor.copy_(arriving[rank])

        return wait

    @property
    def _is_gloo(self) -> bool:
        return dist.get_backend(self._group) == dist.Backend.GLOO

    def _begin(
        self, sent: Mapping[int, Tensor], awaited: Mapping[int, Tensor]
    ) -> Callable[[], None]:
        kinds = ((dist.isend, sent), (dist.irecv, awaited))
        operations = [
            dist.P2POp(kind, tensor, group=self._group, group_peer=rank)
            for kind, tensors in kinds
            for rank, tensor in tensors.items()
        ]
        works = dist.batch_isend_irecv(operations)

        def wait() -> None:
            for work in works:
                work.wait()
            operations.clear()  # what is sent must live until now

        return wait

    @override
    def _add_up(self, tensor: Tensor) -> None:
        dist.all_reduce(tensor, group=self._group)

    @override
    def _gather(self, result: Tensor, tensor: Tensor) -> None:
        dist.all_gather_into_tensor(result.view(-1), tensor.view(-1), group=self._group)


class CountingLink(Link):
    """One process of several that do not exist: what is sent is counted, and nothing comes."""

    @override
    def _exchange(
        self, sent: Mapping[int, Tensor], awaited: Mapping[int, Tensor]
    ) -> Callable[[], None]:
        return _nothing

    @override
    def _add_up(self, tensor: Tensor) -> None:
        pass

    @override
    def _gather(self, result: Tensor, tensor: Tensor) -> None:
        result.copy_(tensor.expand_as(result))


class SumOverRows(torch.autograd.Function):
    """The sum of all processes' tensors; what follows counts once in each of them."""

    @staticmethod
    @override
    def forward(ctx: Any, tensor: Tensor, link: Link) -> Tensor:
        """Return the sum."""
        ctx.link = link
        return link.add_up(tensor.clone())

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient, to which all processes contribute."""
        link: Link = ctx.link
        return link.add_up(gradients[0].clone()), None


def _nothing() -> None:
    pass
