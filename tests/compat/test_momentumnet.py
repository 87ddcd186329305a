"""momentumnet stays as it was installed, except while one of its passes runs on fake tensors."""

import pytest
import torch
from momentumnet import MomentumNet
from momentumnet.exact_rep_pytorch import TorchExactRep
from torch import nn

from radenhance.compat.momentumnet import run_reversibly
from radenhance.compat.torch import FakeTensor, FakeTensorMode

GAMMA = 0.9 - 2**-40


def is_as_installed():
    return TorchExactRep.float_to_intrep.__module__ == TorchExactRep.__module__


class Watching(nn.Module):
    """A block that sees in which state it finds momentumnet."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.found = []

    def forward(self, features):
        self.found.append(is_as_installed())
        return self.linear(features).tanh()


def blocks():
    torch.manual_seed(0)
    return [Watching() for _ in range(3)]


def test_values_and_gradients_are_those_of_its_public_class():
    ours, theirs = blocks(), blocks()
    image = torch.rand(2, 3, requires_grad=True)
    twin = image.detach().clone().requires_grad_()
    net = MomentumNet(theirs, gamma=GAMMA, use_backprop=False, is_residual=False)
    result, expected = run_reversibly(ours, image, gamma=GAMMA), net(twin)
    assert torch.equal(result, expected)
    result.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(image.grad, twin.grad)
    for block, other in zip(ours, theirs, strict=True):
        assert torch.equal(block.linear.weight.grad, other.linear.weight.grad)


def test_real_tensors_meet_momentumnet_as_installed():
    layer = blocks()
    run_reversibly(layer, torch.rand(2, 3), gamma=GAMMA).sum().backward()
    assert [block.found for block in layer] == [[True, True]] * 3


def test_fake_tensors_run_forwards_and_backwards_and_leave_it_as_installed():
    with FakeTensorMode():
        layer = blocks()
        result = run_reversibly(layer, torch.rand(2, 3), gamma=GAMMA)
        assert is_as_installed()
        result.sum().backward()
    assert [block.found for block in layer] == [[False, False]] * 3
    assert isinstance(layer[0].linear.weight.grad, FakeTensor)
    assert is_as_installed()


def test_a_failed_pass_leaves_it_as_installed():
    class Failing(nn.Module):
        def forward(self, features):
            raise ValueError("no")

    with FakeTensorMode(), pytest.raises(ValueError, match="no"):
        run_reversibly([Failing()], torch.rand(2, 3), gamma=GAMMA)
    assert is_as_installed()
