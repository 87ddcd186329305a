"""A network without values, made of a real one.

`fit` builds its module of real tensors, and libraries rely on that: encoders read numbers while
they are built, precisions convert parameters in place. So a plan builds the module as `fit` does,
and takes the values out of it afterwards: of every parameter and buffer, shape, type and place in
the module are left.
"""

from copy import deepcopy
from typing import Any

from lightning.pytorch import LightningModule
from typing_extensions import override

from radenhance.compat.torch import (
    READ_NUMBER,
    FakeTensorMode,
    QuickFakeTensorMode,
    TorchDispatchMode,
)


def fake_mode() -> FakeTensorMode:
    """Return a new mode, in which tensors have no values."""
    # a module may have tensors of its own that are neither parameters nor buffers
    return QuickFakeTensorMode(allow_non_fake_inputs=True)


def fake_copy(module: LightningModule, mode: FakeTensorMode) -> LightningModule:
    """Return a copy of a module whose parameters and buffers are fake tensors.

    Args:
        module: LightningModule of real tensors; it is not changed.
        mode: Mode of the copy, not entered.
    """
    tensors = (*module.parameters(), *module.buffers())
    return deepcopy(module, {id(tensor): mode.from_tensor(tensor) for tensor in tensors})


class NumbersAreOne(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives 1 for every number that is read from a tensor.

    Some optimizers read the step's number or the norm of a parameter. The result has other values
    then, and the same shape and type.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, unless it reads a number."""
        if func is READ_NUMBER:
            return 1
        return func(*args, **(kwargs or {}))
