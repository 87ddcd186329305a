"""A module loses its values and nothing else."""

import pytest
import torch
from foreign import Foreign
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from radenhance.enhancer import ContrastEnhancer
from radenhance.planning.fake_module import NumbersAreOne, fake_copy, fake_mode


@pytest.fixture(scope="module")
def module():
    return ContrastEnhancer("tu-mobilenetv3_small_050", num_scales="auto")


def test_every_parameter_and_buffer_keeps_shape_type_and_place(module):
    copy = fake_copy(module, fake_mode())
    ours, theirs = dict(copy.state_dict()), dict(module.state_dict())
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert isinstance(ours[name], FakeTensor)
        assert (ours[name].shape, ours[name].dtype) == (tensor.shape, tensor.dtype)


def test_parameters_stay_parameters_and_frozen_ones_frozen(module):
    module.unet.encoder.requires_grad_(False)
    copy = fake_copy(module, fake_mode())
    module.unet.encoder.requires_grad_(True)
    assert all(isinstance(parameter, nn.Parameter) for parameter in copy.parameters())
    assert not any(parameter.requires_grad for parameter in copy.unet.encoder.parameters())
    assert all(parameter.requires_grad for parameter in copy.unet.decoder.parameters())


def test_the_module_itself_is_untouched(module):
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    mode = fake_mode()
    copy = fake_copy(module, mode)
    with mode:
        copy(torch.rand(2, 1, 64, 64)).sum().backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_weights_that_two_layers_share_are_one_tensor():
    module = Foreign()
    module.first, module.second = nn.Linear(2, 2), nn.Linear(2, 2)
    module.second.weight = module.first.weight
    copy = fake_copy(module, fake_mode())
    assert copy.first.weight is copy.second.weight


def test_tensors_beside_parameters_and_buffers_may_take_part():
    module = Foreign()
    module.scale = torch.tensor(2.0)
    mode = fake_mode()
    copy = fake_copy(module, mode)
    with mode:
        assert (copy(torch.rand(2, 1, 32, 32)) * copy.scale).shape == (2, 2, 32, 32)


def test_a_number_that_is_read_is_one():
    with fake_mode(), NumbersAreOne():
        norm = torch.rand(3).norm()
        assert norm.item() == 1
        assert (norm * 2).shape == ()


def test_values_that_are_there_are_computed_with():
    with NumbersAreOne():
        assert torch.equal(torch.tensor([2.0]) * 2, torch.tensor([4.0]))
