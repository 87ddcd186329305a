"""Each technique on and off: the same losses, gradients and BatchNorm buffers."""

import functools
import itertools

import pytest
import torch

from radenhance.errors import UsageError
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
    kind, rate = (torch.optim.Adam, 1e-3) if adam else (torch.optim.SGD, 1e-5)
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
    # a bias before a BatchNorm has gradient 0, of which rounding alone is seen
    rounding = 1e-4 * torch.stack([plain.norm() for plain in expected[1]]).norm()
    for gradient, plain in zip(result[1], expected[1], strict=True):
        assert (gradient - plain).norm() <= rtol * max(plain.norm(), rounding)
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


GAMMA = 0.9
TECHNIQUES = {
    "chkp stage": {"checkpointing": "stage"},
    "chkp unit": {"checkpointing": "unit"},
    "offload": {"offload_mib": 64},
    "small offload": {"offload_mib": 2},
    "band": {"band_rows": 5},
    "momentum": {"momentum": GAMMA},
    "quantization": {"quantization": "qat"},
}
CHANGE_FUNCTION = ("momentum", "quantization")
REFUSED = [{"momentum", "quantization"}, {"band", "quantization"}]
PAIRS = [
    pair
    for pair in itertools.combinations(TECHNIQUES, 2)
    if not TECHNIQUES[pair[0]].keys() & TECHNIQUES[pair[1]].keys()
]
GO_TOGETHER = [pair for pair in PAIRS if set(pair) not in REFUSED]


def techniques_of(names):
    return MemoryTechniques(**{key: value for n in names for key, value in TECHNIQUES[n].items()})


@pytest.fixture(scope="module")
def alone():
    """Training with only what changes the function of `names`, remembered."""

    @functools.cache
    def trained(names, **options):
        return train(techniques_of(names), **options)

    def reference(names, **options):
        return trained(tuple(name for name in names if name in CHANGE_FUNCTION), **options)

    return reference


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", [name for name in TECHNIQUES if name not in CHANGE_FUNCTION])
def test_a_technique_is_plain_training(alone, name, encoder):
    # Adam would step by the sign of the rounding where a gradient is 0
    options = {"encoder": encoder, "adam": encoder == "resnet18"}
    assert_same(train(techniques_of([name]), **options), alone((), **options), rtol=1e-10)


@pytest.mark.parametrize("pair", GO_TOGETHER, ids=" + ".join)
def test_a_pair_is_what_its_function_is_alone(alone, pair):
    # the inputs that momentum rebuilds are rounded, and Adam divides by gradients near 0
    options = {"adam": set(pair) != {"band", "momentum"}}
    assert_same(train(techniques_of(pair), **options), alone(pair, **options), rtol=1e-10)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if set(pair) in REFUSED], ids=" + ".join)
def test_a_pair_that_cannot_work_is_refused_with_the_reason(pair):
    with pytest.raises(UsageError, match="does not go with"):
        techniques_of(pair)


@pytest.mark.parametrize(
    "pair", [pair for pair in GO_TOGETHER if "band" not in pair], ids=" + ".join
)
def test_a_pair_under_bfloat16_is_what_its_function_is_alone_bit_for_bit(alone, pair):
    options = {"dtype": torch.float32, "autocast": torch.bfloat16, "size": 32}
    assert_same(train(techniques_of(pair), **options), alone(pair, **options), rtol=0)


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
