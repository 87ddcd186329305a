"""Work of a training step, counted on fake tensors: operations, and bytes that operators move.

Both together order techniques by time without running them: recomputing costs operations,
half precision halves bytes, offloading costs transfers to the host. The order is what it is for; a
time it is not.
"""

from typing import Any

from torch import Tensor
from torch.utils.flop_counter import flop_registry
from typing_extensions import override

from radenhance.compat.torch import TorchDispatchMode, tensors_in
from radenhance.repetition import Shortened

OPERATIONS_PER_SECOND = 10e12
MEMORY_BYTES_PER_SECOND = 400e9
HOST_BYTES_PER_SECOND = 12e9
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
            self.operations += weight * operations
        if func.namespace == "aten" and not func.is_view:
            self.moved_bytes += weight * (_bytes((args, kwargs)) + _bytes(result))
            self.operators += weight
        return result

    @property
    def seconds(self) -> float:
        """Time on the card of the constants above, operations and transfers one after the other."""
        return self.operations / OPERATIONS_PER_SECOND + self.moved_bytes / MEMORY_BYTES_PER_SECOND


def transfer_seconds(host_bytes: int) -> float:
    """Return the time in which bytes go to the host and come back."""
    return 2 * host_bytes / HOST_BYTES_PER_SECOND


def _bytes(tree: Any) -> int:
    return sum(_size(tensor) for tensor in tensors_in(tree))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
