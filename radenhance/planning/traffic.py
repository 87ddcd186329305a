"""Work of a training step, counted on fake tensors: operations, bytes and calls of operators.

Together they order techniques by time without running them: recomputing costs operations, half
precision halves bytes, offloading costs transfers to the host. Of a card of the middle range the
order is what it is for; a time it is where the machine at hand was measured (`calibration.py`).
"""

from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry
from typing_extensions import override

from radenhance.compat.torch import TorchDispatchMode, tensors_in
from radenhance.repetition import Shortened

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Work:
    """What a training step does.

    Args:
        operations: Operations of convolutions and matrix products, but for those in half precision.
        half_operations: Those in half precision.
        moved_bytes: Bytes of what operators read and write.
        operators: Calls of operators.
        host_bytes: Bytes that go to the host and come back.
    """

    operations: float = 0
    half_operations: float = 0
    moved_bytes: float = 0
    operators: float = 0
    host_bytes: float = 0


@dataclass(frozen=True)
class Speed:
    """How long a device takes, in seconds for one of each that `Work` counts.

    Args:
        operation: Seconds of an operation.
        half_operation: Seconds of an operation in half precision.
        moved_byte: Seconds of a byte that is read or written.
        operator: Seconds of a call, whatever it does.
        host_byte: Seconds of a byte to the host and back.
        device: What was measured; empty where nothing was.
    """

    operation: float
    half_operation: float
    moved_byte: float
    operator: float
    host_byte: float
    device: str = ""

    def seconds(self, work: Work) -> float:
        """Return the time of a step, one thing after the other."""
        *costs, _ = astuple(self)
        return float(sum(a * b for a, b in zip(costs, astuple(work), strict=True)))


MIDDLE_CARD = Speed(1 / 10e12, 1 / 10e12, 1 / 400e9, 0, 2 / 12e9)
"""A card of the middle range with 8 GB and 16 lanes of PCIe 3: the ratios matter, not the card."""


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations of convolutions and matrix products, and bytes of what operators touch.

    Operators that only look at a tensor in another way are not counted.

    Args:
        loops: The loops that are shortened meanwhile; none if None.
    """

    def __init__(self, loops: Shortened | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._loops = Shortened() if loops is None else loops
        self.operations = 0
        self.half_operations = 0
        self.moved_bytes = 0
        self.operators = 0

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and count it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet, weight = func.overloadpacket, self._loops.weight
        if packet in flop_registry:
            operations = flop_registry[packet](*args, **kwargs, out_val=result)
            if any(tensor.dtype in HALF for tensor in tensors_in(args)):
                self.half_operations += weight * operations
            else:
                self.operations += weight * operations
        if func.namespace == "aten" and not func.is_view:
            self.moved_bytes += weight * (_bytes((args, kwargs)) + _bytes(result))
            self.operators += weight
        return result

    def work(self, host_bytes: int = 0) -> Work:
        """Return what was counted.

        Args:
            host_bytes: Bytes that wait on the host, which it does not see.
        """
        counted = self.operations, self.half_operations, self.moved_bytes, self.operators
        return Work(*counted, host_bytes)


def _bytes(tree: Any) -> int:
    return sum(_size(tensor) for tensor in tensors_in(tree))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
