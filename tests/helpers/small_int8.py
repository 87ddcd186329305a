"""A model with the operators of an int8 model of ours, of a few weights."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from radenhance.memory.quantization.int8_file import seal


def small_int8():
    """Halve an image, convolve it in 8 bits, and bring it back to its size."""
    random = np.random.default_rng(0)
    arrays = {
        "codes": random.integers(-127, 128, (4, 1, 3, 3), np.int8),
        "scale": np.full(4, 0.01, np.float32),
        "zero": np.zeros(4, np.int8),
        "step": np.float32(0.02),
        "middle": np.uint8(128),
        "last": random.normal(size=(1, 8, 1, 1)).astype(np.float32),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    node = helper.make_node
    nodes = [
        node("MaxPool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        node("QuantizeLinear", ["half", "step", "middle"], ["half8"]),
        node("DequantizeLinear", ["half8", "step", "middle"], ["half32"]),
        node("DequantizeLinear", ["codes", "scale", "zero"], ["weight"], axis=0),
        node("Conv", ["half32", "weight"], ["map"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["map"], ["positive"]),
        node("Concat", ["map", "positive"], ["both"], axis=1),
        node("Conv", ["both", "last"], ["small"], kernel_shape=[1, 1]),
        node("Resize", ["small", "", "twice"], ["enhanced"], mode="nearest"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [helper.make_tensor_value_info("enhanced", TensorProto.FLOAT, [1, 1, "hh", "ww"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, ir_version=10, opset_imports=[opset])
    seal(model)
    return model
