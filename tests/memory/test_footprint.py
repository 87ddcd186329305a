import gc

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from radenhance.compat.fake_process_group import fake_processes
from radenhance.memory.footprint import Footprint, on_host

MIB = 2**20


def mebibyte():
    return torch.empty(MIB, dtype=torch.uint8)


def test_counts_what_is_alive_and_forgets_what_is_freed():
    with Footprint() as footprint:
        kept = mebibyte()
        freed = mebibyte()
        del freed
        kept += 1  # in place
        view = kept[10:20]
        assert footprint.live_bytes == MIB
        assert footprint.peak_bytes == 2 * MIB
        del kept
        assert footprint.live_bytes == MIB
        del view
        assert footprint.live_bytes == 0


def test_what_autograd_keeps_is_alive():
    x = torch.ones(MIB // 4, requires_grad=True)
    with Footprint() as footprint:
        y = x.exp().sum()  # exp keeps its result
        assert footprint.live_bytes == MIB + 4
        del y
        assert footprint.live_bytes == 0


def test_fake_tensors_count_as_real_ones():
    def step():
        with Footprint() as footprint:
            weight = torch.ones(256, 256, requires_grad=True)
            (torch.ones(64, 256) @ weight).relu().sum().backward()
        return footprint.peak_bytes

    real = step()
    with FakeTensorMode():
        assert step() == real


def test_a_new_peak_starts_at_what_is_alive():
    with Footprint() as footprint:
        kept = mebibyte()
        mebibyte()
        footprint.reset_peak()
        assert footprint.peak_bytes == kept.nbytes


def test_memory_of_the_host_is_counted_beside_the_device():
    with Footprint() as footprint:
        with on_host():
            waiting = mebibyte()
        waiting[:10].copy_(torch.ones(10))
        assert footprint.host_bytes == MIB
        assert footprint.live_bytes == 0
        del waiting
        assert footprint.host_bytes == 0
        assert footprint.host_peak_bytes == MIB


def test_one_kind_of_device_can_be_counted_alone():
    with FakeTensorMode(), Footprint("cuda") as footprint:
        on_cpu = mebibyte()
        on_gpu = torch.empty(MIB // 2, dtype=torch.uint8, device="cuda")
        assert on_cpu.nbytes > on_gpu.nbytes == footprint.live_bytes


def test_tensors_of_before_can_be_counted_and_are_forgotten_too():
    kept = [mebibyte(), mebibyte()]
    with Footprint() as footprint:
        footprint.kind = "weights"
        footprint.count(kept)
        footprint.count(kept)  # once
        assert footprint.live_bytes == footprint.peak_bytes == 2 * MIB
        assert footprint.kinds_at_peak == {"weights": 2 * MIB}
        kept.clear()
        assert footprint.live_bytes == 0


def test_a_storage_that_is_emptied_and_filled_again_counts_as_it_is():
    with Footprint() as footprint:
        gathered = mebibyte()
        gathered.untyped_storage().resize_(0)
        assert footprint.live_bytes == 0
        gathered.untyped_storage().resize_(2 * MIB)
        assert footprint.live_bytes == footprint.peak_bytes == 2 * MIB
        del gathered
        assert footprint.live_bytes == 0


def test_storages_are_resized_as_ever_afterwards():
    resize = torch.UntypedStorage.resize_
    with Footprint():
        assert torch.UntypedStorage.resize_ is not resize
    assert torch.UntypedStorage.resize_ is resize


def test_a_sharded_tensor_counts_with_its_shard():
    with fake_processes(rank=0, world_size=4):
        mesh = init_device_mesh("cpu", (4,))
        with Footprint() as footprint:
            sharded = distribute_tensor(torch.ones(MIB // 4), mesh, [Shard(0)], src_data_rank=None)
            moment = torch.zeros_like(sharded)
            gc.collect()
            assert moment.shape == (MIB // 4,)
            assert footprint.live_bytes == 2 * MIB // 4
