"""Values that processes of a run exchange: plain data as JSON, tensors as tensors, no pickles."""

from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from radenhance.strategies.leaves import leaves_in, map_leaves
from radenhance.strategies.messages import MAX_MESSAGE_BYTES, decode, encode
from radenhance.strategies.tensor_meta import TensorMeta, not_understood

Value = TypeVar("Value")


@dataclass(frozen=True)
class PeerGroup:
    """Processes that exchange values.

    Args:
        group: Their process group.
        device: A device from which NCCL or gloo takes tensors.
    """

    group: ProcessGroup
    device: torch.device

    @classmethod
    def of_all(cls, device: torch.device | None = None) -> Self:
        """Return all processes of the run.

        Args:
            device: A device from which the backend takes tensors; by default one that suits it.
        """
        if device is None:
            gpu = dist.get_backend() == dist.Backend.NCCL
            device = torch.device("cuda", torch.cuda.current_device()) if gpu else _CPU
        return cls(cast(ProcessGroup, dist.group.WORLD), device)

    def broadcast(self, value: Any, *, source: int) -> Any:
        """Return the `value` of the process with the rank `source` in the group.

        Args:
            value: Dicts, lists and tuples of tensors and plain data. It is ignored in the others.
            source: A rank.

        Returns:
            The value with its tensors on `device`, at the source too.

        Raises:
            UsageError: The value is of another kind.
            RadenhanceError: What arrives is no such value, or too large.
        """
        tensors: list[Tensor] = []
        if dist.get_rank(self.group) == source:
            found: list[Tensor] = []
            self._send(encode(value, found), source)
            tensors += [tensor.detach().to(self.device).contiguous() for tensor in found]
        else:
            value = decode(self._receive(source))
            tensors += [
                torch.empty(meta.shape, dtype=meta.dtype, device=self.device)
                for meta in leaves_in(value, TensorMeta)
            ]
        for tensor in tensors:
            dist.broadcast(tensor, group_src=source, group=self.group)
        left = iter(tensors)
        return map_leaves(lambda leaf: next(left) if _is_tensor(leaf) else leaf, value)

    def gather(self, value: Value) -> list[Value]:
        """Return every process's value, in the order of ranks.

        Args:
            value: What `broadcast` takes, of the same type in all processes.

        Raises:
            UsageError: The value is of another kind.
            RadenhanceError: What arrives is of another type, or no such value.
        """
        ranks = range(dist.get_world_size(self.group))
        values = [self.broadcast(value, source=rank) for rank in ranks]
        for other in values:
            if type(other) is not type(value):
                raise not_understood(f"{type(other).__name__} instead of {type(value).__name__}")
        return values

    def _send(self, content: bytes, source: int) -> None:
        message = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device)
        length = torch.tensor([len(content)], device=self.device)
        for tensor in (length, message):
            dist.broadcast(tensor, group_src=source, group=self.group)

    def _receive(self, source: int) -> bytes:
        length = torch.zeros(1, dtype=torch.int64, device=self.device)
        dist.broadcast(length, group_src=source, group=self.group)
        num_bytes = int(length)
        if not 0 < num_bytes <= MAX_MESSAGE_BYTES:
            raise not_understood(f"a message of {num_bytes} bytes")
        message = torch.empty(num_bytes, dtype=torch.uint8, device=self.device)
        dist.broadcast(message, group_src=source, group=self.group)
        return message.cpu().numpy().tobytes()


_CPU = torch.device("cpu")


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor | TensorMeta)
