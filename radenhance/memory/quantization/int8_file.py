"""The file of an int8 model, checked before ONNX Runtime sees it.

ONNX Runtime is native code, and runs whatever graph it is given: one that opens other files, or
whose maps double at every node until the machine has no memory left. What `radenhance quantize`
writes is a plain graph of a few operators whose maps are known beforehand, with a checksum that the
format itself does not have; nothing else is taken.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

OPERATORS = {
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "DequantizeLinear",
    "Identity",
    "MaxPool",
    "QuantizeLinear",
    "Relu",
    "Resize",
}
CHECKSUM = "sha256"

MOST_BYTES = 2**31 - 1
"""Protocol buffers are not larger."""

MOST_NODES = 5000
SIDE = 64
MOST_VALUES_PER_PIXEL = 512
"""Of a map, for each pixel of the image: the widest ResNet encoder has 96."""


def seal(model: ModelProto) -> None:
    """Put the checksum of a model's graph into the model."""
    helper.set_model_props(model, {CHECKSUM: _checksum(model)})


def read_int8(file: Path) -> bytes:
    """Return the content of a file that holds an int8 model, and nothing that could do harm.

    Raises:
        ValueError: It does not; the message says why.
        OSError: The file cannot be read.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("it is too large for one")
    content = file.read_bytes()
    try:
        model = ModelProto.FromString(content)
    except Exception as error:  # protobuf's class of it depends on how it was built
        raise ValueError("it is another file, or only a part of one") from error
    _check_checksum(model)
    _check_parts(model)
    _check_maps(model)
    return content


def _checksum(model: ModelProto) -> str:
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _check_checksum(model: ModelProto) -> None:
    """Refuse a graph that has changed; files of earlier versions have no checksum."""
    wanted = [entry.value for entry in model.metadata_props if entry.key == CHECKSUM]
    if wanted and wanted != [_checksum(model)]:
        raise ValueError("it is damaged: its checksum is wrong")


def _check_parts(model: ModelProto) -> None:
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1 or not 0 < len(graph.node) <= MOST_NODES:
        raise ValueError("it is not from one image to one image")
    plain = {onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.FLOAT}
    plain |= {onnx.AttributeProto.STRING}
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError("it has parts that no int8 model of ours has")
    for node in graph.node:
        of_ours = node.op_type in OPERATORS and node.domain in ("", "ai.onnx")
        if not of_ours or any(attribute.type not in plain for attribute in node.attribute):
            raise ValueError("it has operators that no int8 model of ours has")
    for tensor in graph.initializer:
        _check_numbers(tensor)


def _check_numbers(tensor: TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ValueError("its numbers are in another file")
    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        whole = math.prod(tensor.dims) * kind.itemsize == len(tensor.raw_data)
    except KeyError as error:
        raise ValueError("its numbers are of no known kind") from error
    if min(tensor.dims, default=0) < 0 or not whole:
        raise ValueError("its numbers are not all there")
    if not np.isfinite(numpy_helper.to_array(tensor).astype(np.float32, copy=False)).all():
        raise ValueError("its numbers are infinite or not a number")


def _check_maps(model: ModelProto) -> None:
    """Refuse a graph whose maps are too large, or of sizes that depend on the pixels."""
    checked = ModelProto()
    checked.CopyFrom(model)
    graph = checked.graph
    del graph.value_info[:]
    for value, shape in ((graph.input[0], (1, 1, SIDE, SIDE)), (graph.output[0], None)):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, shape))
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(checked, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises its own errors, which share no class
        raise ValueError("its graph does not hold together") from error
    known = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    for name in _maps(graph):
        dims = known[name].type.tensor_type.shape.dim if name in known else ()
        sizes = [dim.dim_value for dim in dims]
        if not 0 < math.prod(sizes) <= MOST_VALUES_PER_PIXEL * SIDE**2 or 0 in sizes:
            raise ValueError("its maps are of no size that an image has")


def _maps(graph: GraphProto) -> Iterator[str]:
    """Yield the names of all that nodes compute but weights, which have the size of the file."""
    stored = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or not stored.issuperset(node.input):
            yield from (name for name in node.output if name)
