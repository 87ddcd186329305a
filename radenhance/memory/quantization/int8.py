"""A trained network as an int8 model, a file in ONNX that ONNX Runtime runs on a CPU.

The file says where the trained network rounded (QuantizeLinear, DequantizeLinear: "QDQ format");
the runtime makes of each

    DequantizeLinear --> Conv --> QuantizeLinear

between them one convolution of 8-bit integers. Weights are in the file as int8, biases as int32.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import segmentation_models_pytorch as smp
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from typing_extensions import override

from radenhance.errors import UsageError
from radenhance.memory.quantization.grid import weight_scale
from radenhance.memory.quantization.int8_file import read_int8, seal
from radenhance.memory.quantization.observer import Observer
from radenhance.memory.quantization.stages import quantized_stages
from radenhance.network.onnx_graph import exported
from radenhance.network.stages import Part, run_stages, stages_of

FATAL = 4
"""Level of ONNX Runtime's own log, which would print texts of the file."""


class Int8Network:
    """An int8 model that runs on the CPU, for images of any size in multiples of 32.

    Args:
        file: The file of a model that `to_int8` gave.

    Raises:
        UsageError: There is no such file, or it is no int8 model of ours.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise UsageError(
                f"ContrastEnhancer.int8 {file}: no such file; `radenhance quantize` writes one"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = FATAL
        self._file = file
        try:
            content = read_int8(file)
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no class
            why = error if isinstance(error, ValueError) else "ONNX Runtime refuses it"
            raise self._refused(str(why)) from error

    def __call__(self, image: Tensor) -> Tensor:
        """Return the enhanced image in float32, shape (N, 1, H, W), on the device of `image`.

        Raises:
            UsageError: The model gives no image of that size.
        """
        name = self._session.get_inputs()[0].name
        images = image.float().cpu().numpy()
        try:
            enhanced = [self._session.run(None, {name: one[None]})[0] for one in images]
        except Exception as error:  # ONNX Runtime's errors share no class
            raise self._refused("it does not run on this image") from error
        result = torch.from_numpy(np.concatenate(enhanced)).to(image.device)
        if result.shape != image.shape or not result.isfinite().all():
            raise self._refused("it gives no image")
        return result

    def _refused(self, why: str) -> UsageError:
        return UsageError(
            f"ContrastEnhancer.int8 {self._file} is not an int8 model of radenhance: {why}; give a "
            f"file that `radenhance quantize` wrote"
        )


def to_int8(unet: smp.Unet) -> onnx.ModelProto:
    """Return the int8 model of a network that was trained with quantization.

    Args:
        unet: The network, with its observers.

    Raises:
        UsageError: It was trained without.
    """
    if not was_trained(unet):
        raise UsageError(
            "the network was not trained for int8: its activations have no ranges; train with "
            'MemoryTechniques(quantization="qat") first'
        )
    folded = deepcopy(unet).cpu().float().eval()
    network = _Network(folded).eval()
    _fold_norms(folded)
    model = exported(network)
    _put_integer_weights(model.graph)
    seal(model)
    return model


def was_trained(unet: smp.Unet) -> bool:
    """Return whether every activation of the network has been observed."""
    observers = getattr(unet, "ranges", None)
    if observers is None:
        return False
    return all(bool(observer.bounds.isfinite().all()) for observer in observers.values())


class _Network(nn.Module):
    def __init__(self, unet: smp.Unet) -> None:
        super().__init__()
        self.unet = unet

    @override
    def forward(self, image: Tensor) -> Tensor:
        quantizer = _OnnxQuantizer(self.unet.ranges)
        return run_stages(quantized_stages(stages_of(self.unet), quantizer), image)


class _OnnxQuantizer:
    """Writes down where values are rounded. A ReLU is the clamp of the code at zero."""

    def __init__(self, observers: nn.ModuleDict) -> None:
        self.observers = observers

    def declare(self, *names: str) -> tuple[nn.Module, ...]:
        return tuple(self.observers[name] for name in names)

    def quantize(self, name: str, *values: Tensor, relu: bool = False) -> Sequence[Tensor]:
        return [self._rounded(name, value) for value in values]

    def rearrange(self, name: str, function: Part, *values: Tensor) -> Tensor:
        result = function(*values)
        assert isinstance(result, Tensor)
        return self._rounded(name, result)

    def weights(self, convolution: nn.Conv2d) -> Tensor:
        return convolution.weight

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        observer = self.observers[name]
        assert isinstance(observer, Observer)
        grid = observer.current()
        step = (grid.scale, grid.zero_point.to(torch.uint8))
        codes = torch.onnx.ops.symbolic(
            "QuantizeLinear", (value, *step), dtype=torch.uint8, shape=value.shape
        )
        return torch.onnx.ops.symbolic(
            "DequantizeLinear", (codes, *step), dtype=torch.float32, shape=value.shape
        )


def _fold_norms(unet: nn.Module) -> None:
    for parent in list(unet.modules()):
        for (name, first), (next_name, second) in pairwise(list(parent.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(first, second))
                setattr(parent, next_name, nn.Identity())


def _put_integer_weights(graph: onnx.GraphProto) -> None:
    """Replace weights and biases of the convolutions between 8-bit activations."""
    arrays = {array.name: array for array in graph.initializer}
    dequantized = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    rounded = {n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    for node in [n for n in graph.node if n.op_type == "Conv"]:
        if node.input[0] not in dequantized or node.output[0] not in rounded:
            continue
        source = dequantized[node.input[0]]
        input_scale = numpy_helper.to_array(arrays[source.input[1]])
        weight = numpy_helper.to_array(arrays[node.input[1]])
        scale = weight_scale(torch.from_numpy(weight.copy())).flatten().numpy()
        codes = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        integers = [(codes, scale)]
        for name in node.input[2:]:  # the exporter leaves out a bias of zeros
            bias, bias_scale = numpy_helper.to_array(arrays[name]), scale * input_scale
            bias_codes = np.rint(bias.astype(np.float64) / bias_scale).astype(np.int32)
            integers.append((bias_codes, bias_scale.astype(np.float32)))
        for name, (values, step) in zip(node.input[1:], integers, strict=True):
            graph.initializer.remove(arrays[name])
            _dequantize(graph, name, values, step)


def _dequantize(graph: onnx.GraphProto, name: str, integers: np.ndarray, scale: np.ndarray) -> None:
    """Let `name` be the product of integers and the scale of their channel."""
    inputs = {
        f"{name}_codes": integers,
        f"{name}_scale": scale,
        f"{name}_zero": np.zeros(scale.shape, integers.dtype),
    }
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in inputs.items())
    graph.node.insert(0, helper.make_node("DequantizeLinear", list(inputs), [name], axis=0))
