"""An int8 model is whole, plain and of bounded size, or ONNX Runtime does not see it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_int8 import small_int8

from radenhance.errors import UsageError
from radenhance.memory.quantization.int8 import Int8Network
from radenhance.memory.quantization.int8_file import read_int8

FILE = Path("x.onnx")


def written(model, sealed=False):
    if not sealed:
        del model.metadata_props[:]
    FILE.write_bytes(model.SerializeToString())
    return FILE


def test_a_whole_model_runs_with_or_without_a_checksum():
    image = torch.rand(2, 1, 64, 96)
    enhanced = [Int8Network(written(small_int8(), sealed))(image) for sealed in (True, False)]
    assert enhanced[0].shape == image.shape
    assert torch.equal(*enhanced)


def test_a_flipped_bit_is_found_by_the_checksum():
    data = written(small_int8(), sealed=True).read_bytes()
    codes = numpy_helper.to_array(small_int8().graph.initializer[0]).tobytes()
    damaged = bytearray(data)
    damaged[data.find(codes)] ^= 1
    FILE.write_bytes(damaged)
    with pytest.raises(ValueError, match="its checksum is wrong"):
        read_int8(FILE)


def elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"


def absurd(model):
    model.graph.initializer[0].dims[:] = [2**40]


def infinite(model):
    model.graph.initializer[3].CopyFrom(numpy_helper.from_array(np.float32("inf"), "step"))


def loop(model):
    model.graph.node[5].op_type = "Loop"


def foreign(model):
    model.graph.node[5].domain = "com.example"


def doubled(model):
    last = "enhanced"
    for i in range(40):
        model.graph.node.append(helper.make_node("Concat", [last, last], [f"x{i}"], axis=1))
        last = f"x{i}"
    model.graph.output[0].name = last


def stretched(model):
    scales = np.array([1, 1, 1e6, 1e6], np.float32)
    model.graph.initializer[6].CopyFrom(numpy_helper.from_array(scales, "twice"))


def padded(model):
    model.graph.node[4].attribute[1].CopyFrom(helper.make_attribute("pads", [2**30] * 4))


def broadcast(model):
    for name, shape in (("tall", (1, 1, 2**20, 1)), ("wide", (1, 1, 1, 2**20))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.int8), name))
    model.graph.node.insert(0, helper.make_node("Add", ["tall", "wide"], ["square"]))


def unnamed(model):
    model.graph.node[0].input[0] = "nothing"


@pytest.mark.parametrize(
    "change",
    [elsewhere, absurd, infinite, loop, foreign, doubled, stretched, padded, broadcast, unnamed],
)
def test_a_graph_that_could_do_harm_is_refused_in_a_sentence(change):
    model = small_int8()
    change(model)
    with pytest.raises(UsageError, match=r"x\.onnx is not an int8 model of radenhance: ") as raised:
        Int8Network(written(model))
    assert len(str(raised.value).splitlines()) == 1


def test_a_model_that_gives_another_size_is_said_when_it_runs():
    model = small_int8()
    model.graph.initializer[6].CopyFrom(
        numpy_helper.from_array(np.array([1, 1, 1, 1], np.float32), "twice")
    )
    with pytest.raises(UsageError, match="it gives no image"):
        Int8Network(written(model))(torch.rand(1, 1, 64, 64))
