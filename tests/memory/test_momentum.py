import copy
import os

import pytest
import torch
from momentumnet.exact_rep_pytorch import TorchExactRep

from radenhance.errors import UsageError
from radenhance.memory.momentum import representable
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

STEPS = int(os.environ.get("RADENHANCE_STEPS", "8"))
"""Of training under float16."""


def gradients(techniques, unet, image, autocast=None):
    unet = copy.deepcopy(unet)
    dtype = autocast or torch.bfloat16
    with torch.autocast("cpu", dtype=dtype, enabled=autocast is not None):
        output = techniques.run(unet, image)
    # with oneDNN a float16 convolution takes a CPU several times as long to go back
    with torch.backends.mkldnn.flags(enabled=autocast is not torch.float16, allow_tf32=None):
        (output.float() ** 2).mean().backward()
    return [p.grad for p in unet.parameters()], unet


def relative(ours, reference):
    difference = sum(((a - b) ** 2).sum() for a, b in zip(ours, reference, strict=True))
    return (difference / sum((b**2).sum() for b in reference)).sqrt().item()


@pytest.mark.parametrize(
    ("autocast", "limit", "size"),
    [(None, 1e-5, 128), (torch.bfloat16, 2e-2, 128), (torch.float16, 2e-3, 64)],
)
def test_gradients_are_those_of_the_twin_in_one_step(autocast, limit, size):
    torch.manual_seed(0)
    unet, image = build_unet("resnet18"), torch.rand(2, 1, size, size)
    twin = MemoryTechniques(momentum=0.9, momentum_reversible=False)
    reversible = MemoryTechniques(momentum=0.9)
    expected, plain = gradients(twin, unet, image, autocast)
    result, rebuilt = gradients(reversible, unet, image, autocast)
    assert relative(result, expected) < limit
    for name, value in plain.named_buffers():
        close = torch.allclose(rebuilt.get_buffer(name).float(), value.float(), rtol=1e-5)
        assert close, f"{name} moved twice"


def test_momentumnet_itself_stays_as_it_was_installed():
    gradients(MemoryTechniques(momentum=0.9), build_unet("resnet18"), torch.rand(2, 1, 64, 64))
    assert TorchExactRep.float_to_intrep.__module__ == TorchExactRep.__module__


def test_other_encoders_are_refused_with_the_remedy():
    remedy = r'got TimmUniversalEncoder; use ContrastEnhancer\(encoder="resnet18"\)'
    with pytest.raises(UsageError, match=remedy):
        MemoryTechniques(momentum=0.9).stages_of(build_unet("tu-mobilenetv3_small_050"))


@pytest.mark.parametrize("gamma", [0, 1, -0.5, 2])
def test_gamma_outside_its_range_is_refused(gamma):
    with pytest.raises(UsageError, match="expected gamma between 0 and 1"):
        MemoryTechniques(momentum=gamma)


@pytest.mark.parametrize("gamma", [0.9, 0.5, 0.99, 1e-6, 1 - 1e-7])
def test_gamma_is_what_momentumnet_multiplies_by(gamma):
    chosen = representable(gamma)
    numerator, denominator = TorchExactRep(torch.zeros(1)).float_to_rational(chosen)
    assert numerator / denominator == pytest.approx(chosen, abs=1e-11)
    assert chosen == pytest.approx(gamma, abs=2**-16)


def test_steps_under_float16_stay_with_the_twin():
    torch.manual_seed(0)
    unet = build_unet("resnet18")
    optimizer = torch.optim.Adam(unet.parameters(), lr=1e-4)
    twin = MemoryTechniques(momentum=0.9, momentum_reversible=False)
    reversible = MemoryTechniques(momentum=0.9)
    for step in range(1, STEPS + 1):
        image = torch.rand(2, 1, 32, 32)
        result, trained = gradients(reversible, unet, image, torch.float16)
        assert all(gradient.isfinite().all() for gradient in result)
        if step in (STEPS // 2, STEPS):
            expected, _ = gradients(twin, unet, image, torch.float16)
            assert relative(result, expected) < 2e-2
        unet.load_state_dict(trained.state_dict())  # the statistics of this step
        for parameter, gradient in zip(unet.parameters(), result, strict=True):
            parameter.grad = gradient
        optimizer.step()
