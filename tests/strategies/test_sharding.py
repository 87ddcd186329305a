"""What sharding refuses, gathers and keeps, in a group of one process."""

import pytest
import torch
from torch.distributed.tensor import DTensor

from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet
from radenhance.strategies.sharding import (
    broadcast_from_first,
    full_on_cpu,
    full_tensor,
    full_weights,
    is_sharded,
    mesh_of,
    refuse_unsharded_techniques,
    shard,
    shard_state,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("techniques", "name"),
    [
        ({"band_rows": 8}, "band_rows"),
        ({"compile": "default"}, "compile"),
        ({"momentum": 0.9}, "momentum"),
        ({"quantization": "qat"}, "quantization"),
    ],
)
def test_techniques_that_read_parameters_themselves_are_refused_by_name(techniques, name):
    with pytest.raises(UsageError, match=rf"MemoryTechniques\.{name} does not go with sharded"):
        refuse_unsharded_techniques(MemoryTechniques(**techniques))


def test_techniques_that_run_whole_layers_are_allowed():
    refuse_unsharded_techniques(MemoryTechniques(checkpointing="unit", offload_mib=16))


@pytest.fixture
def sharded(one_process):
    torch.manual_seed(0)
    unet = build_unet("resnet18")
    whole = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    shard(unet, {id(p) for p in unet.parameters()}, mesh_of(one_process, CPU))
    return unet, whole


def test_a_sharded_network_computes_and_saves_what_it_did(sharded):
    unet, whole = sharded
    assert is_sharded(unet)
    assert all(isinstance(parameter, DTensor) for parameter in unet.parameters())
    plain = build_unet("resnet18")
    plain.load_state_dict(whole)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(unet.eval()(image), plain.eval()(image))
    saved = full_weights(unet.state_dict())
    assert saved.keys() == whole.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in whole.items())


def test_sharding_again_changes_nothing(sharded, one_process):
    unet, _ = sharded
    before = list(unet.parameters())
    shard(unet, {id(p) for p in before}, mesh_of(one_process, CPU))
    assert all(a is b for a, b in zip(unet.parameters(), before, strict=True))


def test_parts_of_the_other_stage_stay_as_they_are(one_process):
    unet = build_unet("resnet18")
    shard(unet, {id(p) for p in unet.encoder.parameters()}, mesh_of(one_process, CPU))
    assert all(isinstance(parameter, DTensor) for parameter in unet.encoder.parameters())
    assert not any(isinstance(parameter, DTensor) for parameter in unet.decoder.parameters())


def test_the_state_of_one_device_is_sharded_like_its_parameters(sharded):
    unet, _ = sharded
    optimizer = torch.optim.Adam(unet.parameters())
    parameter = next(unet.parameters())
    moment = torch.rand(parameter.shape)
    optimizer.state[parameter] = {"exp_avg": moment, "step": torch.tensor(3.0)}
    shard_state(optimizer)
    state = optimizer.state[parameter]
    assert isinstance(state["exp_avg"], DTensor)
    assert torch.equal(full_tensor(state["exp_avg"]), moment)
    assert state["step"] == 3  # has no rows to shard


def test_a_network_that_is_not_sharded_is_saved_as_it_is():
    weight, text = torch.rand(2), "text"
    saved = full_weights({"weight": weight, "text": text})
    assert saved["weight"] is weight
    assert full_on_cpu(text) == text
    assert not is_sharded(build_unet("tu-mobilenetv3_small_050"))


def test_broadcast_buffers_keep_their_place(one_process):
    buffer = torch.rand(3)
    before = buffer.clone()
    broadcast_from_first([buffer], one_process)
    assert torch.equal(buffer, before)
