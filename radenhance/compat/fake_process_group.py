"""PyTorch's process group that does nothing: what is sent vanishes, what is received has no value.

With it, and with fake tensors, one process runs the part of any process of a distributed step. It
is registered by a module of `torch.testing._internal`, as there is no public name for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist


@contextmanager
def fake_processes(rank: int, world_size: int) -> Iterator[None]:
    """Let this process be one of several, of which the others do not exist.

    Args:
        rank: Rank of this process.
        world_size: Number of processes.

    Raises:
        RuntimeError: This process is one of several already.
    """
    # registers the backend; costs time, and only plans need it
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if dist.is_initialized():
        raise RuntimeError("this process is one of several already")
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()
