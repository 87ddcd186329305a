"""What radenhance takes from PyTorch without a public name still is what it takes it for."""

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from radenhance.compat.torch import (
    FakeTensor,
    FakeTensorMode,
    TorchDispatchMode,
    norms_of,
    saved_tensors_hooks_around,
    tensors_in,
    version_of,
)


def test_it_does_not_import_lightning():
    code = "import sys, radenhance.compat.torch; print('lightning' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_fake_tensors_take_no_memory_and_have_a_device():
    with FakeTensorMode():
        tensor = torch.empty(2**50, dtype=torch.uint8, device="cuda")
        double = tensor.view(2, -1) + 1
    assert isinstance(double, FakeTensor)
    assert (double.shape, double.device.type) == ((2, 2**49), "cuda")


def test_what_stays_real_may_meet_fake_tensors():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    real = torch.ones(3)
    with mode:
        total = mode.from_tensor(torch.ones(3)) + real
    assert isinstance(total, FakeTensor)


def test_a_dispatch_mode_sees_the_operators_of_the_backward_pass():
    seen = []

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append((func.namespace, func.overloadpacket, func.is_view))
            return func(*args, **(kwargs or {}))

    x = torch.ones(2, 3, requires_grad=True)
    y = x.relu().t().sum()
    with Seeing():
        y.backward()
    assert ("aten", torch.ops.aten.threshold_backward, False) in seen
    assert ("aten", torch.ops.aten.t, True) in seen


def test_the_version_counts_writes_through_views_too():
    tensor = torch.zeros(4)
    before = version_of(tensor)
    tensor.view(2, 2)[0].add_(1)
    assert version_of(tensor) == before + 1
    tensor.add(1)
    assert version_of(tensor.detach()) == before + 1


@pytest.mark.parametrize("mode", [nullcontext, FakeTensorMode])
def test_a_storage_is_one_object_for_all_its_tensors(mode):
    """Ids and weak references of storages stand for them in footprint and offload."""
    with mode():
        tensor = torch.zeros(4, 4)
        key = id(tensor.untyped_storage())
        others = [torch.zeros(1).untyped_storage() for _ in range(100)]  # not at its address
        assert id(tensor.view(2, 8).detach().untyped_storage()) == key
        assert key not in map(id, others)


def test_the_innermost_hooks_are_given_and_stay_entered():
    def pack(tensor):
        return [tensor]

    def unpack(packed):
        return packed[0]

    value = torch.ones(1)
    assert [f(value) is value for f in saved_tensors_hooks_around()] == [True, True]
    with saved_tensors_hooks(lambda t: t, lambda t: t), saved_tensors_hooks(pack, unpack):
        assert saved_tensors_hooks_around() == (pack, unpack)
        assert saved_tensors_hooks_around() == (pack, unpack)


def test_norms_are_those_that_the_total_norm_is_made_of():
    torch.manual_seed(0)
    tensors = [torch.randn(shape) for shape in ((64, 3, 3, 3), (1000, 100), (7,), ())]
    total = torch.linalg.vector_norm(torch.stack(norms_of(tensors)))
    assert torch.equal(total, torch.nn.utils.get_total_norm(tensors))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (torch.ones(1), [1]),
        (([torch.ones(1), 3, None], {"out": torch.full((1,), 2.0)}), [1, 2]),
        (torch.tensor([[1.0, 2.0]]).max(dim=1), [2, 1]),
        ("text", []),
    ],
)
def test_tensors_are_found_in_order(tree, expected):
    assert [tensor.item() for tensor in tensors_in(tree)] == expected
