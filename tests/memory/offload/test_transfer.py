from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.memory.offload.transfer import SideStream, Transfer, transfer_of


def test_copies_there_and_back():
    transfer = transfer_of(torch.ones(1))
    data, host = torch.arange(10, dtype=torch.uint8), torch.empty(10, dtype=torch.uint8)
    transfer.to_host(data, host)
    expected = data.clone()
    data.zero_()
    back, copied = transfer.to_device(host)
    transfer.wait(copied)
    assert torch.equal(back, expected)


def test_fake_tensors_of_a_gpu_need_no_stream():
    with FakeTensorMode():
        transfer = transfer_of(torch.ones(1, device="cuda"))
        assert type(transfer) is Transfer
        host = torch.empty(10, dtype=torch.uint8)
        assert transfer.to_device(host)[0].device.type == "cuda"


class Stream:
    """Writes down what a CUDA stream is asked for."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")

    def record_event(self):
        self.log.append(f"event on {self.name}")
        return "event"

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for {event}")


@pytest.fixture
def log(monkeypatch):
    """What the streams are asked for, in order; the copies run on the CPU."""
    log = []
    computing, side = Stream("computing", log), Stream("side", log)

    @contextmanager
    def entered(stream):
        log.append(f"on {stream.name}")
        yield
        log.append(f"off {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda self, stream: log.append(f"kept for {stream.name}")
    )
    return log


def test_every_copy_waits_for_the_computation_before_it_and_holds_its_memory(log):
    transfer = SideStream(torch.device("cpu"))
    host = torch.empty(10, dtype=torch.uint8)
    before = ["side waits for computing", "on side", "off side", "kept for side"]
    transfer.to_host(torch.ones(10, dtype=torch.uint8), host)
    assert log == before
    log.clear()
    back, copied = transfer.to_device(host)
    assert log == [*before, "event on side"]
    log.clear()
    transfer.wait(copied)
    assert log == ["computing waits for event"]
    assert (back == 1).all()
