"""Process groups for tests in one process."""

import pytest
import torch.distributed as dist


@pytest.fixture
def one_process():
    """A gloo group whose only process is this one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()
