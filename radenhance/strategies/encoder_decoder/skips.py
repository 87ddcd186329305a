"""What crosses the cut between encoder and decoder: the skips, and the deepest features.

    stem  layer1  layer2  layer3  layer4 | decoder0 ...
      \\______________________________________>
              \\______________________________>
                      \\______________________>
                               \\_____________>
                                       \\_____>

Shapes are announced before anything is sent, so that the receiver never guesses: a tensor of the
wrong size would abort the process, or be read as the pixels of the batch before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorMeta:
    """Everything about a tensor but its values.

    Args:
        shape: Of one micro-batch.
        dtype: Its element type.
        requires_grad: Whether a gradient comes back for it; not so behind frozen layers.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool = False

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorMeta":
        """Return the kind of `tensor`."""
        return cls(tuple(tensor.shape), tensor.dtype, tensor.requires_grad)

    def on_meta(self) -> Tensor:
        """Return a tensor of this kind without values."""
        tensor = torch.empty(self.shape, dtype=self.dtype, device="meta")
        return tensor.requires_grad_(self.requires_grad)


@dataclass(frozen=True)
class SkipSpec:
    """What crosses the cut for one micro-batch, and how.

    Args:
        kinds: In the order in which the encoder makes them.
        bfloat16: Whether float32 crosses as bfloat16, features and gradients alike.
    """

    kinds: tuple[TensorMeta, ...]
    bfloat16: bool = False

    @property
    def sent(self) -> tuple[TensorMeta, ...]:
        """The tensors as they are on their way; those without elements do not travel."""
        return tuple(self._travelling(kind) for kind in self.kinds if 0 not in kind.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes that one micro-batch sends forwards; backwards, those with a gradient again."""
        return sum(kind.on_meta().nbytes for kind in self.sent)

    def pack(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tensors to send.

        They are contiguous: gloo refuses others, and NCCL reads them in the wrong order.
        """
        travelling = [tensor for tensor in tensors if tensor.numel()]
        return tuple(
            tensor.to(kind.dtype).contiguous()
            for tensor, kind in zip(travelling, self.sent, strict=True)
        )

    def unpack(self, received: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors that were packed, in their own types."""
        left = iter(received)
        return [
            received[0].new_empty(kind.shape, dtype=kind.dtype)
            if 0 in kind.shape
            else next(left).to(kind.dtype)
            for kind in self.kinds
        ]

    def _travelling(self, kind: TensorMeta) -> TensorMeta:
        shortened = self.bfloat16 and kind.dtype == torch.float32
        return replace(kind, dtype=torch.bfloat16) if shortened else kind
