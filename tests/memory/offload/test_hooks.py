import gc

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import UsageError
from radenhance.memory.footprint import Footprint
from radenhance.memory.offload.hooks import Offload, host_bytes
from radenhance.memory.offload.host_memory import HostMemory
from radenhance.memory.offload.transfer import Transfer
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

SIDE = 64
NBYTES = 8 * SIDE * SIDE * 4
"""Of the activations below."""


class Counted(Transfer):
    """Notes how many bytes go each way, and which come when."""

    def __init__(self):
        super().__init__(torch.device("cpu"))
        self.out, self.back = [], []

    def to_host(self, data, host):
        super().to_host(data, host)
        self.out.append(host.data_ptr())

    def to_device(self, host):
        self.back.append(host.data_ptr())
        return super().to_device(host)


class Late(Transfer):
    """Copies nothing before somebody waits for it, as a GPU may: nonsense until then."""

    def __init__(self):
        super().__init__(torch.device("cpu"))
        self.queue = []

    def to_host(self, data, host):
        host.fill_(255)
        self.queue.append((host, data))  # the queue holds what it has yet to read

    def to_device(self, host):
        data = torch.full_like(host, 255)
        self.queue.append((data, host))
        return data, data  # what to wait for

    def wait(self, copied):
        while any(target is copied for target, _ in self.queue):
            target, source = self.queue.pop(0)
            target.copy_(source)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 1, 1),
    )


def image():
    return torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def gradients(net):
    return [parameter.grad.clone() for parameter in net.parameters()]


def run(transfer, budget=10 * NBYTES):
    """The gradients of a step of the network, and the offload that it ran under."""
    net, raw = network(), image()
    offload = Offload(HostMemory(budget, pinned=False), transfer)
    with offload.saving(but=[raw, *net.parameters()]):
        loss = net(raw).square().mean()
    taken = offload.host.taken_bytes
    loss.backward()
    return gradients(net), offload, taken


@pytest.fixture(scope="module")
def expected():
    net = network()
    net(image()).square().mean().backward()
    return gradients(net)


def assert_equal(result, expected):
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


def test_each_storage_goes_and_comes_once_and_parameters_stay(expected):
    transfer = Counted()
    result, offload, taken = run(transfer)
    assert_equal(result, expected)
    # two inputs of BatchNorm, two outputs of ReLU, each of which a convolution saves as well
    assert len(transfer.out) == len(transfer.back) == 4
    assert taken == 4 * NBYTES
    assert transfer.back == transfer.out[::-1]
    assert offload.host.taken_bytes == 0


def test_nothing_is_used_before_its_copy_has_arrived(expected):
    result, offload, _ = run(Late())
    assert_equal(result, expected)
    assert offload.host.taken_bytes == 0


@pytest.mark.parametrize("num_storages", [1, 3])
def test_what_is_saved_first_leaves_first_and_the_budget_holds(expected, num_storages):
    transfer = Counted()
    result, offload, taken = run(transfer, budget=num_storages * NBYTES + 1000)
    assert_equal(result, expected)
    assert taken == offload.host.peak_bytes == num_storages * NBYTES
    assert transfer.out == sorted(transfer.out)
    assert len(transfer.out) == num_storages


def test_one_storage_is_fetched_ahead_and_no_more():
    transfer = Counted()
    x = torch.rand(5, 20000, requires_grad=True)
    here = []
    offload = Offload(HostMemory(10 * x.nbytes, pinned=False), transfer)
    with offload.saving(but=[x]):
        y = x
        for _ in range(4):
            y = y.exp()  # saves its result
            y.register_hook(lambda _: here.append(len(transfer.back)))
    y.sum().backward()
    # a hook runs when the gradient is there: before its exp fetches anything
    assert here == [0, 2, 3, 4]


def test_a_view_comes_back_as_the_same_view():
    def pack_and_back(tensor):
        offload = Offload(HostMemory(2**22, pinned=False), Counted())
        return offload._unpack(offload._pack(tensor))

    whole = torch.rand(2, 8, 64, 64)
    for view in (
        whole.to(memory_format=torch.channels_last),
        whole[1:, 3:5, :, 7:],
        whole.transpose(1, 3),
        whole[:, :1].expand(2, 8, 64, 64),
        whole.half()[..., ::3],
        whole.long(),
    ):
        back = pack_and_back(view)
        assert torch.equal(back, view)
        assert back.dtype == view.dtype
        assert back.stride() == view.stride()
        assert back.storage_offset() == view.storage_offset()
        assert back.untyped_storage().nbytes() == view.untyped_storage().nbytes()
        assert back.untyped_storage().data_ptr() != view.untyped_storage().data_ptr()


def test_a_storage_that_was_written_to_is_another_activation():
    offload = Offload(HostMemory(2**22, pinned=False), Counted())
    x = torch.zeros(SIDE, SIDE, 8)
    before = offload._pack(x)
    x += 1
    after = offload._pack(x)
    assert (offload._unpack(before) == 0).all()
    assert (offload._unpack(after) == 1).all()


def test_weights_that_autocast_made_stay():
    net = nn.Conv2d(64, 64, 3, bias=False)
    offload = Offload(HostMemory(2**22, pinned=False), Counted())
    x = torch.rand(1, 64, 64, 64, requires_grad=True)  # so that the weights are saved for it
    with torch.autocast("cpu", dtype=torch.bfloat16), offload.saving(but=[x, *net.parameters()]):
        y = net(2 * x)
    assert offload.host.taken_bytes == x.nbytes // 2  # 2 x in bfloat16
    y.float().sum().backward()


def test_graphs_of_two_batches_do_not_mix():
    expected, ours = network(), network()
    offload = Offload(HostMemory(20 * NBYTES, pinned=False), Late())
    raws = image(), 1 - image()
    losses = []
    for raw in raws:
        expected(raw).square().mean().backward()
        with offload.saving(but=[raw, *ours.parameters()]):
            losses.append(ours(raw).square().mean())
    for loss in losses:
        loss.backward()
    assert_equal(gradients(ours), gradients(expected))
    del loss, losses
    assert offload.host.taken_bytes == 0


@pytest.mark.parametrize("ends", ["in an error", "without backward"])
def test_nothing_stays_behind_after_a_step_that(ends):
    net, transfer = network(), Counted()
    offload = Offload(HostMemory(10 * NBYTES, pinned=False), transfer)
    raw = image().requires_grad_()
    with offload.saving(but=net.parameters()):
        output = net(raw)
        assert offload.host.taken_bytes > 0
    if ends == "in an error":
        with pytest.raises(RuntimeError):
            output.backward()  # not a scalar
    del output
    gc.collect()
    assert offload.host.taken_bytes == 0


def peak(techniques, size=512):
    with FakeTensorMode(), Footprint() as footprint:
        unet = build_unet("resnet18")
        raw = torch.rand(1, 1, size, size)
        for _ in range(2):
            techniques.run(unet, raw).square().mean().backward()
        level = footprint.live_bytes
        return footprint.peak_bytes, level, footprint.host_peak_bytes


@pytest.mark.parametrize("checkpointing", ["none", "stage", "unit"])
def test_peak_falls_with_and_without_checkpointing_and_by_the_budget(checkpointing):
    plain, level, none = peak(MemoryTechniques(checkpointing=checkpointing))
    little, _, _ = peak(MemoryTechniques(checkpointing=checkpointing, offload_mib=20))
    much, level_after, host = peak(MemoryTechniques(checkpointing=checkpointing, offload_mib=2**10))
    assert little <= plain - 15 * 2**20
    share = {"none": 0.3, "stage": 0.9, "unit": 0.7}[checkpointing]
    assert much - level < share * (plain - level)
    assert level_after == level
    assert (none, host) == (0, 2**30)


def test_one_network_takes_its_host_memory_once():
    unet, techniques = build_unet("resnet18"), MemoryTechniques(offload_mib=16)
    needed = []
    with Footprint() as footprint:
        for size in (64, 96, 64):
            techniques.run(unet, torch.rand(1, 1, size, size)).mean().backward()
            needed.append(host_bytes(techniques.stages_of(unet)))
    assert footprint.host_peak_bytes == 16 * 2**20
    assert 0 < needed[0] < needed[1] == needed[2] <= 16 * 2**20


def test_nothing_moves_where_no_gradient_is_wanted():
    unet, techniques = build_unet("resnet18"), MemoryTechniques(offload_mib=16)
    with torch.no_grad():
        techniques.run(unet, torch.rand(1, 1, 64, 64))
    assert host_bytes(techniques.stages_of(unet)) == 0


def test_a_negative_budget_is_refused():
    with pytest.raises(UsageError, match="offload_mib is -1, expected a number of MiB"):
        MemoryTechniques(offload_mib=-1)
