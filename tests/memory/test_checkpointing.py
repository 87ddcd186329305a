import pytest
import torch
from torch import nn

from radenhance.compat.torch import FakeTensorMode
from radenhance.errors import UsageError
from radenhance.memory.checkpointing import Checkpointing, recomputed, unchanged_buffers
from radenhance.memory.footprint import Footprint
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Stage, Unit
from radenhance.network.unet import build_unet


def saved_bytes(techniques, unet, image):
    """Bytes of the activations that the backward pass keeps, each storage once."""
    own = {p.untyped_storage().data_ptr() for p in unet.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = techniques.run(unet, image)
    del output
    return sum(size for size, _ in kept.values())


def test_less_is_kept_by_units_and_least_by_stages():
    unet = build_unet("resnet18")
    image = torch.rand(1, 1, 64, 64)
    plain, unit, stage = (
        saved_bytes(MemoryTechniques(checkpointing=mode), unet, image)
        for mode in ("none", "unit", "stage")
    )
    assert stage < unit < 0.5 * plain


def test_nothing_is_recomputed_where_no_gradient_is_wanted():
    calls = []
    part = recomputed(lambda x: calls.append(1) or x.sin(), [])
    with torch.no_grad():
        part(torch.ones(1, requires_grad=True))
    part(torch.ones(1, requires_grad=True)).backward()
    assert len(calls) == 3  # once without, twice with gradient


def test_random_numbers_are_those_of_the_forward_pass():
    dropout = nn.Dropout(0.5)
    x = torch.ones(1000, requires_grad=True)
    y = recomputed(lambda x: dropout(x * 1), [dropout])(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_buffers_are_put_back_also_after_an_error():
    norm = nn.BatchNorm2d(2)

    def fail():
        with unchanged_buffers([norm]):
            norm(torch.rand(2, 2, 4, 4))
            raise ZeroDivisionError

    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with pytest.raises(ZeroDivisionError):
        fail()
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in before.items())


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="expected one of none, stage, unit"):
        MemoryTechniques(checkpointing="all")


def test_backward_through_a_recomputed_unit_is_that_of_its_relu_with_signs_in_its_place():
    unit = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU())
    (kept,) = Checkpointing("unit").running([Stage("one", (Unit(unit, (unit,)),))])
    image, weights = torch.randn(2, 1, 6, 6), torch.randn(2, 3, 4, 4)
    weights[0, 0] = torch.nan  # a gradient that is no number is to be noticed
    gradients = [
        torch.autograd.grad((weights * part(image)).sum(), unit[0].weight) for part in (unit, kept)
    ]
    assert torch.equal(*(gradient.nan_to_num(7) for (gradient,) in gradients))
    parts = kept.units[0].block, unit
    with torch.no_grad():
        assert torch.equal(*(part(image) for part in parts))


def recomputing_bytes(part, values):
    with FakeTensorMode(), Footprint() as footprint:
        unit = nn.Sequential(nn.BatchNorm2d(4), part)
        (stage,) = Checkpointing("unit").running([Stage("one", (Unit(unit, (unit,)),))])
        image = torch.rand(1, 4, values // 4, 1, requires_grad=True)
        (2 * stage(image)).sum().backward()
    return footprint.peak_bytes


def test_recomputing_a_relu_keeps_a_byte_for_a_value_where_it_kept_four():
    class OwnReLU(nn.ReLU):
        """Not taken for PyTorch's, as it may do more."""

    values = 2**20
    spared = recomputing_bytes(OwnReLU(inplace=True), values) - recomputing_bytes(
        nn.ReLU(inplace=True), values
    )
    assert spared == pytest.approx(3 * values, rel=0.01)
