import copy
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from processes import run
from torch import nn

from radenhance.errors import UsageError
from radenhance.memory.compilation import stages as compilation
from radenhance.memory.compilation.stages import MOST_SIZES, Compilation, Compiled
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Stage, Unit, Upsampling, run_stages
from radenhance.network.unet import build_unet

PARTS = [(0, 3), (2, 5), (3, 6)]


@pytest.fixture
def _as_graphs(monkeypatch):
    monkeypatch.setattr(compilation, "runs_as_graph", lambda tensor: True)


def layer(channels):
    norm = nn.BatchNorm2d(4)
    module = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1, bias=False), norm, nn.ReLU(inplace=True)
    )
    return module.double()


def small_network():
    """Six stages: two skips of which the deeper one is taken first."""
    torch.manual_seed(0)
    pool = nn.MaxPool2d(2)
    down = [layer(1), layer(4), layer(4)]
    up = [layer(8), layer(8), layer(4)]
    nearest = Upsampling("nearest")
    return [
        Stage("stem", (Unit(down[0], (down[0],)),), gives_skip=True),
        Stage("layer1", (Unit(down[1], (down[1],), before=pool),), gives_skip=True),
        Stage("layer2", (Unit(down[2], (down[2],), before=pool),)),
        Stage("decoder0", (Unit(up[0], (up[0],), before=nearest),), takes_skip=True),
        Stage("decoder1", (Unit(up[1], (up[1],), before=nearest),), takes_skip=True),
        Stage("head", (Unit(up[2], (up[2],)),)),
    ]


def inputs_before(stages, first):
    """Features and open skips, as leaves of autograd."""
    skips = []
    with torch.no_grad():
        image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)).double()
        features = run_stages(copy.deepcopy(stages[:first]), image, skips)
    return features.requires_grad_(), [skip.detach().clone().requires_grad_() for skip in skips]


def trained(stages, first, *, steps=2):
    """Outputs, open skips, gradients and buffers of some steps on the same inputs."""
    modules = nn.ModuleList([module for stage in stages for module in stage.modules])
    results = []
    for _ in range(steps):
        features, skips = inputs_before(small_network(), first)
        is_open = list(skips)
        output = run_stages(stages, features, is_open)
        sum((one * torch.linspace(-1, 1, one.numel()).view_as(one)).sum()
            for one in (output, *is_open)).backward()  # fmt: skip
        results += [output, *is_open, features.grad, *(skip.grad for skip in skips)]
    return [*results, *(p.grad for p in modules.parameters()), *modules.buffers()]


@pytest.mark.usefixtures("_as_graphs")
@pytest.mark.parametrize(("first", "last"), PARTS)
def test_any_part_of_a_network_computes_the_same_and_leaves_the_same_skips(first, last):
    compiled = Compilation("auto").running(small_network()[first:last])
    assert len(compiled) == 1
    results, expected = trained(compiled, first), trained(small_network()[first:last], first)
    for ours, plain in zip(results, expected, strict=True):
        assert (ours is None) == (plain is None)
        if plain is not None:
            assert torch.allclose(ours, plain, rtol=1e-12, atol=1e-12)


def scale():
    weight = nn.Linear(1, 1, bias=False)
    calls = []

    def part(features):
        calls.append(features.shape)
        return features * weight.weight

    return weight, calls, Compiled(part, (weight,), "default", "scale")


@pytest.mark.usefixtures("_as_graphs")
def test_python_runs_once_for_each_shape_and_state_and_again_for_a_copy():
    weight, calls, part = scale()
    for _ in range(2):
        part(torch.ones(1, 1, 4, 4)).sum().backward()
    first = len(calls)
    part(torch.ones(1, 1, 4, 4))
    assert len(calls) == first
    part(torch.ones(1, 1, 8, 4))
    assert len(calls) > first
    assert "_radenhance_compiled" in vars(weight)
    assert vars(copy.deepcopy(weight))["_radenhance_compiled"].functions == {}
    assert list(weight.state_dict()) == ["weight"]


@pytest.mark.usefixtures("_as_graphs")
def test_one_size_too_many_is_refused_with_what_to_do():
    _, _, part = scale()
    for side in range(1, MOST_SIZES + 1):
        part(torch.ones(1, 1, side, side))
    with pytest.raises(UsageError, match="takes minutes for each size of images, and got the 9th"):
        part(torch.ones(1, 1, 9, 9))


def test_without_gradient_nothing_is_compiled(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    _, calls, part = scale()
    with torch.no_grad():
        assert torch.equal(part(torch.zeros(1, 1, 2, 2)), torch.zeros(1, 1, 2, 2))
    assert len(calls) == 1


def test_a_missing_compiler_ends_in_one_sentence(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    sentence = (
        r"^MemoryTechniques.compile needs a C\+\+ compiler \(no-such-compiler, .*leave Memory"
    )
    with pytest.raises(UsageError, match=sentence):
        MemoryTechniques(compile="auto").run(build_unet("resnet18"), torch.rand(1, 1, 64, 64))


def compile_what_cannot_be():
    weight = nn.Linear(1, 1)
    part = Compiled(lambda x: x * float(input()), (weight,), "default", "stem-head")
    with pytest.raises(UsageError, match="^stem-head could not be compiled: .*leave MemoryTech"):
        part(torch.ones(1, 1, 2, 2))
    return 0


def test_what_the_compiler_cannot_take_ends_in_one_sentence(tmp_path):
    # where it fails, the compiler goes on to watch each frame of the process
    run(compile_what_cannot_be, folder=tmp_path / "run")


def names(techniques):
    stages = techniques.stages_of(build_unet("resnet18"))
    for technique in techniques.chosen:
        stages = technique.running(stages)
    return [stage.name for stage in stages]


def test_a_network_is_compiled_as_one_and_around_bands_in_parts():
    assert names(MemoryTechniques(compile="auto")) == ["stem-head"]
    banded = names(MemoryTechniques(compile="auto", band_rows=8))
    assert banded == ["stem", "layer1", "layer1-layer4", *(f"decoder{i}" for i in range(5)), "head"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_kernels_compute_the_same_and_say_how_long_they_took(monkeypatch):
    kept = Path(tempfile.gettempdir()) / "kernels_of_tests"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(kept))
    said = []
    monkeypatch.setattr(compilation, "rank_zero_info", said.append)
    compiled = Compilation("auto").running(small_network()[:1])
    results, expected = trained(compiled, 0), trained(small_network()[:1], 0)
    for ours, plain in zip(results, expected, strict=True):
        assert torch.allclose(ours, plain, rtol=1e-12, atol=1e-12)
    (line,) = said
    assert line.startswith("Compiled stem-stem for 16 x 16 px in ")
