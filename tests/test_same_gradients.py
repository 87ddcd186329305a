"""Each technique on and off: the same losses, gradients and BatchNorm buffers.

The techniques, the values to try them with, and the pairs that exclude each other are those that
`MemoryTechniques.known` declares: a new technique is tried here as soon as it is in that list.
"""

import copy
import dataclasses
import functools
import itertools
import re

import pytest
import torch
from narrow import NARROW

from radenhance.dataset.field import OPAQUE
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import UsageError
from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.loss.streamed import streamed_loss
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.coarse import CoarseCorrection
from radenhance.network.unet import build_unet

PLAIN = MemoryTechniques(fused_upsampling=False, channels_last=False)
STEPS = 2  # the second with what the first has left
FAMILIES = [
    "resnet18",
    "vgg11_bn",
    "densenet121",
    "efficientnet-b0",
    "mobilenet_v2",
    "mit_b0",
    "tu-mobilenetv3_small_050",
    "tu-test_convnext",
]


def named(values):
    return " ".join(f"{name}={value}" for name, value in values.items())


KINDS = {named(values): kind for kind in PLAIN.known for values in kind.examples}
COMPILED = "compile=default"
"""Of which each case takes seconds to trace: it is tried with a few. The others meet small stages
in memory/compilation."""
VALUES = {named(values): values for kind in PLAIN.known for values in kind.examples}
KEEP_FUNCTION = [name for name, kind in KINDS.items() if not kind.changes_function]
PAIRS = [
    pair
    for pair in itertools.combinations(KINDS, 2)
    if type(KINDS[pair[0]]) is not type(KINDS[pair[1]])
]
TRACED_WITH = {"checkpointing=unit", "band_rows=5"}


def reason_against(pair):
    """Why the techniques of a pair exclude each other, or None."""
    first, second = (KINDS[name] for name in pair)
    return first.excludes.get(type(second)) or second.excludes.get(type(first))


GO_TOGETHER = [pair for pair in PAIRS if reason_against(pair) is None]
TRIED = [pair for pair in GO_TOGETHER if COMPILED not in pair or TRACED_WITH & set(pair)]


def techniques_of(names):
    values = {key: value for name in names for key, value in VALUES[name].items()}
    return dataclasses.replace(PLAIN, **values)


@pytest.fixture(autouse=True)
def _compiled_to_graphs(monkeypatch):
    """Run the compiler's graphs operator by operator: kernels of a network take minutes."""
    module = "radenhance.memory.compilation.stages"
    monkeypatch.setattr(f"{module}.runs_as_graph", lambda tensor: True)


def away_from_the_start(unet):
    """Change all weights a little: at the symmetric start a sign error could hide."""
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return unet


def train(
    techniques,
    *,
    dtype=torch.float64,
    autocast=None,
    size=64,
    adam=True,
    as_used=False,
    device="cpu",
):
    """Two steps of Adam, or of plain gradient descent: losses, last gradients, state dict."""
    torch.manual_seed(0)
    module = ContrastEnhancer(NARROW, output="correction" if as_used else "image").to(dtype)
    if as_used:
        module.coarse = away_from_the_start(CoarseCorrection(NARROW, 32)).to(dtype)
    module.memory, unet = techniques, away_from_the_start(module.unet)
    module.to(device)
    field = torch.full((2, 1, size, size), OPAQUE, dtype=torch.uint8)
    field[..., : size // 4] = 0
    field = field.to(device)
    kind, rate = (torch.optim.Adam, 1e-3) if adam else (torch.optim.SGD, 1e-5)
    optimizer = kind(unet.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(STEPS):
        images = torch.rand(2, 2, 1, size, size, generator=generator, dtype=dtype)
        raw, target = images.to(device)
        with torch.autocast(device, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            enhanced = module(raw, field if as_used else None)
        share = 0.16 if as_used else 0.0
        loss = streamed_loss(enhanced, target, num_scales="auto", l1_share=share)
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


@pytest.fixture(scope="module")
def alone():
    """Training with only what changes the function of `names`, remembered."""

    @functools.cache
    def trained(names, **options):
        return train(techniques_of(names), **options)

    def reference(names, **options):
        return trained(tuple(name for name in names if name not in KEEP_FUNCTION), **options)

    return reference


def test_every_technique_gives_values_that_turn_it_on_and_no_other():
    assert PLAIN.chosen == []
    for name, kind in KINDS.items():
        assert [type(one) for one in techniques_of([name]).chosen] == [type(kind)]
    assert {type(kind) for kind in KINDS.values()} == {type(kind) for kind in PLAIN.known}


@pytest.mark.parametrize("name", KEEP_FUNCTION)
def test_a_technique_is_plain_training(alone, name):
    assert_same(train(techniques_of([name])), alone(()), rtol=1e-10)


@pytest.mark.parametrize("name", [name for name in KEEP_FUNCTION if name != COMPILED])
def test_a_technique_is_plain_training_of_a_correction_of_a_coarse_one_inside_a_field(alone, name):
    result = train(techniques_of([name]), as_used=True)
    assert_same(result, alone([], as_used=True), rtol=1e-10)


@pytest.mark.parametrize("pair", TRIED, ids=" + ".join)
def test_a_pair_is_what_its_function_is_alone(alone, pair):
    # the inputs that momentum rebuilds are rounded, and Adam divides by gradients near 0
    kinds = [KINDS[name] for name in pair]
    rounded = any(k.reorders_sums for k in kinds) and any(k.changes_function for k in kinds)
    options = {"adam": not rounded}
    assert_same(train(techniques_of(pair), **options), alone(pair, **options), rtol=1e-10)


@pytest.mark.parametrize(
    "pair", [pair for pair in PAIRS if pair not in GO_TOGETHER], ids=" + ".join
)
def test_a_pair_that_cannot_work_is_refused_with_the_reason(pair):
    with pytest.raises(UsageError, match="does not go with .*" + re.escape(reason_against(pair))):
        techniques_of(pair)


@pytest.mark.parametrize(
    "pair",
    [pair for pair in GO_TOGETHER if not any(KINDS[name].reorders_sums for name in pair)],
    ids=" + ".join,
)
def test_a_pair_under_bfloat16_is_what_its_function_is_alone_bit_for_bit(alone, pair):
    options = {"dtype": torch.float32, "autocast": torch.bfloat16, "size": 32}
    assert_same(train(techniques_of(pair), **options), alone(pair, **options), rtol=0)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_gpu
@pytest.mark.parametrize("as_used", [False, True])
@pytest.mark.parametrize("name", ["fused_upsampling=False", *KINDS])
def test_a_technique_on_a_gpu_is_that_on_a_cpu(alone, name, as_used):
    if as_used and name == COMPILED:
        pytest.skip("traced once, without")
    techniques = techniques_of([name]) if name in KINDS else PLAIN
    options = {"as_used": as_used, "adam": False}
    losses, gradients, state = train(techniques, device="cuda", **options)
    moved = losses.cpu(), [g.cpu() for g in gradients], {k: v.cpu() for k, v in state.items()}
    expected = alone([name] if name in KINDS else [], **options)
    if "quantization" in name:  # a GPU divides by 255 otherwise: the last bit of a step of 256
        assert moved[0][0] == pytest.approx(expected[0][0], rel=1e-9)
    else:
        assert_same(moved, expected, rtol=1e-9)


@pytest.fixture(scope="module")
def family():
    """A network of each family, and a step of the library's own forward pass."""

    @functools.cache
    def made(encoder):
        torch.manual_seed(0)
        unet = away_from_the_start(build_unet(encoder).double())
        return unet, one_step(unet, lambda own, image: own(image))

    return made


def one_step(unet, run):
    """The output, the gradients of a step, and the buffers after it."""
    unet = copy.deepcopy(unet)
    raw, target = torch.rand(2, 2, 1, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    torch.manual_seed(2)  # of dropped paths
    enhanced = run(unet, raw)
    ms_ssim_loss(enhanced, target, num_scales="auto").backward()
    gradients = {name: p.grad for name, p in unet.named_parameters() if p.grad is not None}
    return enhanced.detach(), gradients, dict(unet.named_buffers())


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        (encoder, name)
        for encoder in FAMILIES
        for name in ("", *KEEP_FUNCTION)
        if name != COMPILED or encoder == "mit_b0"  # whose first skip has no channels
    ],
)
def test_a_step_is_that_of_the_library_with_encoders_of_every_family(family, encoder, name):
    unet, expected = family(encoder)
    techniques = techniques_of([name] if name else [])
    result = one_step(unet, techniques.run)
    rounding = 1e-4 * torch.stack([plain.norm() for plain in expected[1].values()]).norm()
    assert (result[0] - expected[0]).norm() <= 1e-10 * expected[0].norm()
    for ours, plain, least in zip(result[1:], expected[1:], (rounding, 0.0), strict=True):
        assert ours.keys() == plain.keys()
        for key, value in plain.items():
            difference = (ours[key].double() - value.double()).norm()
            assert difference <= 1e-10 * max(value.double().norm(), least), key


@pytest.mark.parametrize("name", [name for name in KINDS if name not in KEEP_FUNCTION])
@pytest.mark.parametrize("encoder", FAMILIES)
def test_what_changes_the_function_names_the_encoder_that_it_cannot_work_on(family, encoder, name):
    unet, _ = family(encoder)
    if encoder.startswith("resnet"):
        enhanced, gradients, _ = one_step(unet, techniques_of([name]).run)
        assert enhanced.isfinite().all()
        assert len(gradients) == len(list(unet.parameters()))
        return
    reason = f"needs an encoder of residual layers .*got {type(unet.encoder).__name__}; use"
    with pytest.raises(UsageError, match=f"{KINDS[name].parameter} {reason}"):
        techniques_of([name]).stages_of(copy.deepcopy(unet))


@pytest.fixture(scope="module")
def momentum_twin():
    """Momentum with the activations kept: the same function under ordinary backpropagation."""
    techniques = MemoryTechniques(momentum=0.9, momentum_reversible=False)
    return train(techniques, dtype=torch.float32, size=128, adam=False)


@pytest.mark.parametrize("checkpointing", ["none", "stage", "unit"])
def test_momentum_is_its_twin_that_keeps_activations(momentum_twin, checkpointing):
    techniques = MemoryTechniques(momentum=0.9, checkpointing=checkpointing)
    # its gradients, to 1e-5, are in memory/test_momentum.py: that of MS-SSIM at the random start
    # enlarges the float32 rounding of rebuilt inputs a thousandfold
    result = train(techniques, dtype=torch.float32, size=128, adam=False)
    assert_same_course(result, momentum_twin, rtol=1e-5)


def test_momentum_changes_the_function_and_not_the_weights():
    unet = build_unet("resnet18").eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        plain, other = PLAIN.run(unet, image), MemoryTechniques(momentum=0.9).run(unet, image)
    assert not torch.allclose(plain, other, rtol=1e-2)
    assert unet.state_dict().keys() == build_unet("resnet18").state_dict().keys()
