"""A network that trains for int8: the same whatever keeps its activations, and in less memory."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import UsageError
from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.memory.footprint import Footprint
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

QAT = MemoryTechniques(quantization="qat")
PLAIN = MemoryTechniques(fused_upsampling=False)


def step(techniques, *, dtype=torch.float64, autocast=None):
    """Two steps of gradient descent: losses, last gradients and state dict."""
    torch.manual_seed(0)
    unet = build_unet("resnet18").to(dtype)
    optimizer = torch.optim.SGD(unet.parameters(), lr=1e-4)
    losses = []
    for raw in torch.rand(2, 2, 1, 64, 64, dtype=dtype):
        with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            enhanced = techniques.run(unet, raw)
        loss = ms_ssim_loss(enhanced, raw.sqrt(), num_scales="auto")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, [p.grad for p in unet.parameters()], unet.state_dict()


def assert_equal(result, expected):
    losses, gradients, state = expected
    assert result[0] == losses
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all(map(torch.equal, result[1], gradients))
    assert result[2].keys() == state.keys()
    assert all(torch.equal(result[2][name], value) for name, value in state.items())


@pytest.fixture(scope="module")
def quantized():
    return step(QAT)


@pytest.mark.parametrize(
    "other", [{"checkpointing": "unit"}, {"checkpointing": "stage"}, {"offload_mib": 64}]
)
def test_other_techniques_leave_it_as_it_is_and_ranges_move_once(quantized, other):
    assert_equal(step(MemoryTechniques(quantization="qat", **other)), quantized)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_gradients_are_those_of_keeping_floats(monkeypatch, autocast):
    result = step(QAT, dtype=torch.float32, autocast=autocast)
    monkeypatch.setattr("radenhance.memory.quantization.grid._kept_as", lambda tensor: None)
    assert_equal(result, step(QAT, dtype=torch.float32, autocast=autocast))


def peak_bytes(techniques, size):
    with FakeTensorMode(), Footprint() as footprint:
        unet = build_unet("resnet34")
        image = torch.rand(1, 1, size, size)
        ms_ssim_loss(techniques.run(unet, image), image).backward()
    return footprint.peak_bytes


def test_peak_is_below_three_fifths_of_plain_training():
    assert peak_bytes(QAT, 2048) < 0.6 * peak_bytes(PLAIN, 2048)


def test_a_network_that_never_trained_validates():
    unet = build_unet("resnet18").eval()
    with torch.inference_mode():
        assert QAT.run(unet, torch.rand(1, 1, 64, 64)).isfinite().all()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: MemoryTechniques(quantization="qat", momentum=0.9), "does not go with"),
        (lambda: MemoryTechniques(quantization="int4"), "expected one of none, qat"),
        (lambda: QAT.stages_of(build_unet("tu-mobilenetv3_small_050")), "residual layers"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(make, reason):
    with pytest.raises(UsageError, match=reason):
        make()


def test_observers_are_part_of_the_state_with_one_buffer_each():
    unet = build_unet("resnet18")
    before = unet.state_dict().keys()
    QAT.stages_of(unet)
    added = unet.state_dict().keys() - before
    assert len(added) == 41
    assert all(name.startswith("ranges.") and name.endswith(".bounds") for name in added)
    QAT.stages_of(unet)
    assert unet.state_dict().keys() == before | added
