"""Each technique on and off: the same losses, gradients and BatchNorm buffers."""

import pytest
import torch

from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

PLAIN = MemoryTechniques()
ENCODERS = ["resnet18", "tu-mobilenetv3_small_050"]
STEPS = 3


def train(
    techniques, *, encoder="resnet18", dtype=torch.float64, autocast=None, size=64, adam=True
):
    """Three steps of Adam, or of plain gradient descent: losses, last gradients, state dict."""
    torch.manual_seed(0)
    unet = build_unet(encoder).to(dtype)
    with torch.no_grad():  # away from the symmetric start, where a sign error could hide
        for parameter in unet.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    kind, rate = (torch.optim.Adam, 1e-3) if adam else (torch.optim.SGD, 1e-6)
    optimizer = kind(unet.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(STEPS):
        raw, target = torch.rand(2, 2, 1, size, size, generator=generator, dtype=dtype)
        with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            enhanced = techniques.run(unet, raw)
        loss = ms_ssim_loss(enhanced, target, num_scales="auto")
        optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in unet.parameters()]
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), gradients, unet.state_dict()


def assert_same(result, expected, *, rtol):
    for gradient, plain in zip(result[1], expected[1], strict=True):
        assert (gradient - plain).norm() <= rtol * plain.norm()
    assert_same_course(result, expected, rtol=rtol)


def assert_same_course(result, expected, *, rtol):
    """Losses, weights, statistics and counters."""
    (losses, _, state), (plain_losses, _, plain_state) = result, expected
    assert torch.allclose(losses, plain_losses, rtol=rtol, atol=0)
    for name, plain in plain_state.items():
        difference = (state[name].double() - plain.double()).norm()
        assert difference <= rtol * plain.double().norm(), name
    counters = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert counters
    assert all(value == STEPS for value in counters)


@pytest.fixture(scope="module")
def plain():
    """Plain training in float64, per encoder."""
    return {encoder: train(PLAIN, encoder=encoder) for encoder in ENCODERS}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("checkpointing", ["stage", "unit"])
def test_checkpointing_is_plain_training(plain, checkpointing, encoder):
    result = train(MemoryTechniques(checkpointing=checkpointing), encoder=encoder)
    assert_same(result, plain[encoder], rtol=1e-10)


@pytest.mark.parametrize("checkpointing", ["stage", "unit"])
def test_checkpointing_under_bfloat16_is_bfloat16_alone(checkpointing):
    options = {"dtype": torch.float32, "autocast": torch.bfloat16, "size": 32}
    expected = train(PLAIN, **options)
    result = train(MemoryTechniques(checkpointing=checkpointing), **options)
    assert_same(result, expected, rtol=0)


GAMMA = 0.9


@pytest.fixture(scope="module")
def momentum_twin():
    """Momentum with the activations kept: the same function under ordinary backpropagation."""
    techniques = MemoryTechniques(momentum=GAMMA, momentum_reversible=False)
    return train(techniques, dtype=torch.float32, size=128, adam=False)


@pytest.mark.parametrize("checkpointing", ["none", "stage", "unit"])
def test_momentum_is_its_twin_that_keeps_activations(momentum_twin, checkpointing):
    techniques = MemoryTechniques(momentum=GAMMA, checkpointing=checkpointing)
    # its gradients, to 1e-5, are in memory/test_momentum.py: that of MS-SSIM at the random start
    # enlarges the float32 rounding of rebuilt inputs a thousandfold
    result = train(techniques, dtype=torch.float32, size=128, adam=False)
    assert_same_course(result, momentum_twin, rtol=1e-5)


def test_momentum_changes_the_function_and_not_the_weights():
    unet = build_unet("resnet18").eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        plain, other = PLAIN.run(unet, image), MemoryTechniques(momentum=GAMMA).run(unet, image)
    assert not torch.allclose(plain, other, rtol=1e-2)
    assert unet.state_dict().keys() == build_unet("resnet18").state_dict().keys()
