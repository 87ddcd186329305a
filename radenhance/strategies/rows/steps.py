"""A module's step by rows: its network, its loss and its measures know of the other processes.

The module's own `network` runs, and asks at each function that it calls (`rows.operators`); its
loss and measures take the share from the module, as what a mean is over is theirs to know.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from radenhance.errors import UsageError
from radenhance.memory.checkpointing import unchanged_buffers
from radenhance.rows.link import Link
from radenhance.rows.operators import by_rows
from radenhance.rows.share import UNIT, WHOLE, RowShare, Share, share_out
from radenhance.strategies.protocol import SupportsMemoryTechniques

TOLERANCE = 0.05
"""Share of the largest value by which a small network by rows may differ from the whole one, in
float32: many BatchNorms enlarge rounding, and a halo that is missing shows more."""

WHY_REFUSED = {
    "momentum": "rebuilds what layers got, from rows of which the halos are gone",
    "quantization": "observes the values of whole maps",
    "compile": "runs kernels that ask no neighbour for rows",
}
"""Name of a memory technique -> why it does not go with rows."""


@runtime_checkable
class SupportsRows(SupportsMemoryTechniques, Protocol):
    """A LightningModule whose loss and measures are those of all rows where it has some.

    Everything that it computes outside of its network, but for those, is of each pixel alone.
    """

    share: Share


def refuse_unsupported(module: LightningModule) -> None:
    """Refuse modules and techniques that would compute something else by rows.

    Raises:
        UsageError: It names what.
    """
    if not isinstance(module, SupportsRows):
        raise UsageError(
            f"{type(module).__name__} cannot be trained by rows: its loss would be that of some "
            f"rows only; give it `network`, `memory` and `share`, as ContrastEnhancer has them, or "
            f'use Trainer(strategy="encoder_decoder")'
        )
    if not module.automatic_optimization:
        raise UsageError(
            f"{type(module).__name__}.automatic_optimization is False, expected True: the strategy "
            f"rows sums gradients when the optimizer is to step"
        )
    chosen = {one.parameter.rpartition(".")[2] for one in module.memory.chosen}
    for name, reason in WHY_REFUSED.items():
        if name in chosen:
            raise UsageError(
                f"MemoryTechniques.{name} does not go with the strategy rows: it {reason}; leave "
                f"one of them out"
            )


@contextmanager
def module_by_rows(module: LightningModule, share: Share) -> Iterator[None]:
    """Let a module compute with the rows that this process has.

    Args:
        module: The module, which `refuse_unsupported` let pass.
        share: The rows, or `WHOLE`.
    """
    own = vars(module)
    network: Any = module.network

    def rows_of_network(image: Tensor) -> Tensor:
        assert isinstance(share, RowShare)
        with by_rows(share):
            result: Tensor = network(image)
        return result

    if isinstance(share, RowShare):
        own["network"] = rows_of_network
    own["share"] = share
    try:
        yield
    finally:
        own["share"] = WHOLE
        own.pop("network", None)


def refuse_if_unequal(module: Any, link: Link, device: torch.device) -> None:
    """Refuse a network that computes something else by rows than as a whole.

    Both run once on a small image of noise, in every process, in training mode; buffers stay as
    they are.

    Args:
        module: The LightningModule, whose parameters are equal in all processes.
        link: The processes.
        device: Their device.

    Raises:
        UsageError: In all processes.
    """
    rows, columns = UNIT * (2 * link.num_processes + 1), 2 * UNIT
    like = next(module.parameters())
    pixels = torch.arange(rows * columns, dtype=like.dtype, device=device)
    image = (pixels * 0.7).sin().view(1, 1, rows, columns)
    share = RowShare(link, share_out(rows, columns, link.num_processes), columns)
    was_training = module.training
    with unchanged_buffers([module]), torch.no_grad():
        module.train()
        whole = module.network(image)[:, :, share.own].float()
        with by_rows(share):
            ours = module.network(image[:, :, share.own].contiguous()).float()
    module.train(was_training)
    difference = (ours - whole).abs().max() / whole.abs().max().clamp_min(1e-12)
    tolerance = TOLERANCE if torch.finfo(like.dtype).bits >= 32 else 6 * TOLERANCE
    if not bool((link.gather(difference) < tolerance).all()):
        raise UsageError(
            f"the strategy rows cannot divide this network: by rows it computes something else "
            f"({difference.item():.1g} of its largest value on a small image); use another "
            f"encoder, such as resnet34, or another strategy"
        )
