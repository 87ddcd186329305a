r"""What the encoder sends the decoder: the skips, and the deepest features.

    stem  layer1  layer2  layer3  layer4 | decoder0 ...
      \______________________________________>
              \______________________________>
                      \______________________>
                               \_____________>
                                       \_____>

Shapes are sent before the tensors, so that the receiver never guesses: a tensor of the wrong size
would abort the process, or be read as the pixels of the batch before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from radenhance.strategies.tensor_meta import TensorMeta, check_size, not_understood

MAX_MICRO = 2**12
"""Micro-batches of a batch."""


@dataclass(frozen=True)
class SkipSpec:
    """What the encoder sends for one micro-batch, and how.

    Args:
        tensors: Descriptions in the order in which the encoder makes the tensors.
        bfloat16: Whether float32 is sent as bfloat16, features and gradients alike.
    """

    tensors: tuple[TensorMeta, ...]
    bfloat16: bool = False

    @property
    def sent(self) -> tuple[TensorMeta, ...]:
        """The tensors as they are sent; those without elements are not."""
        return tuple(self._as_sent(meta) for meta in self.tensors if 0 not in meta.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes that are sent for one micro-batch in the forward pass."""
        return sum(meta.on_meta().nbytes for meta in self.sent)

    @property
    def num_gradient_bytes(self) -> int:
        """Bytes that come back for one micro-batch in the backward pass."""
        return sum(meta.on_meta().nbytes for meta in self.sent if meta.requires_grad)

    def pack(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tensors to send.

        They are contiguous: gloo refuses others, and NCCL reads them in the wrong order.
        """
        to_send = [tensor for tensor in tensors if tensor.numel()]
        return tuple(
            tensor.to(meta.dtype).contiguous()
            for tensor, meta in zip(to_send, self.sent, strict=True)
        )

    def unpack(self, received: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors that were packed, in their own types."""
        left = iter(received)
        return [
            received[0].new_empty(meta.shape, dtype=meta.dtype)
            if 0 in meta.shape
            else next(left).to(meta.dtype)
            for meta in self.tensors
        ]

    def _as_sent(self, meta: TensorMeta) -> TensorMeta:
        shortened = self.bfloat16 and meta.dtype == torch.float32
        return replace(meta, dtype=torch.bfloat16) if shortened else meta


@dataclass(frozen=True)
class BatchSpec:
    """What the encoder tells the decoder of a batch before it sends any of its features.

    Args:
        image: The network's input, of one micro-batch.
        skips: What is sent for each micro-batch.
        num_micro_batches: How many micro-batches there are.
        trains: Whether gradients come back.
    """

    image: TensorMeta
    skips: SkipSpec
    num_micro_batches: int
    trains: bool

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the description that `to_json` made `data` of.

        Raises:
            RadenhanceError: It is none, or its tensors would take too much memory.
        """
        match data:
            case [list(metas), bool(bfloat16), int(num), bool(trains)] if 0 < num <= MAX_MICRO:
                try:
                    image, *tensors = [TensorMeta.from_json(meta) for meta in metas]
                except ValueError as error:
                    raise not_understood("it describes no batch") from error
                check_size([image, *tensors])
                return cls(image, SkipSpec(tuple(tensors), bfloat16), num, trains)
        raise not_understood("it describes no batch")

    def to_json(self) -> list[Any]:
        """Return the description as plain data."""
        metas = [meta.to_json() for meta in (self.image, *self.skips.tensors)]
        return [metas, self.skips.bfloat16, self.num_micro_batches, self.trains]
