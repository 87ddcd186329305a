"""A trained network as one graph in ONNX, from unit values to enhanced pixels.

The network's own graph takes images whose sides are multiples of 32, in the window that it was
trained on, and gives a correction, perhaps; whoever runs it elsewhere would have to write again
what stands around it here, and would write it a little differently. So all of it is in the graph,
written down as ONNX's own text, with the network's nodes in the place of one named `Network`.

What is not in the graph is what needs the whole program: the field inside the collimator, and the
window, which is that of the field. They are inputs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import onnx
import onnx.compose
import onnx.parser
from onnx import helper
from torch import Tensor, nn
from typing_extensions import override

from radenhance import __version__
from radenhance.checkpoint import Checkpoint
from radenhance.enhancer import ContrastEnhancer
from radenhance.inference.card import INTENDED_USE, input_of
from radenhance.memory.quantization.int8 import to_int8
from radenhance.network.coarse import CoarseCorrection
from radenhance.network.onnx_graph import exported
from radenhance.network.unet import DEEPEST_STRIDE

RAW, LOW, HIGH, FIELD, ENHANCED = "raw", "low", "high", "field", "enhanced"
"""Names of inputs and output."""

NETWORK, COARSE = "Network", "Coarse"
"""Nodes of the text in whose place a network comes."""

MEANINGS = {
    RAW: "unit values of the radiograph, more attenuation (bone) brighter; at least 32 a side",
    LOW: "the unit value that becomes 0: that at the 0.1 percentile of the exposed field",
    HIGH: "the unit value that becomes 1: that at the 99.9 percentile of the exposed field",
    FIELD: "how much of each pixel is in the exposed field: 0 outside the collimator, 255 inside",
    ENHANCED: "the enhanced image, in [0, 1], of the same rows and columns and polarity",
}


def onnx_model(
    checkpoint: Checkpoint, module: ContrastEnhancer, *, sha256: str, int8: bool
) -> onnx.ModelProto:
    """Return the model.

    Args:
        checkpoint: The checkpoint.
        module: Its network, on the CPU and in evaluation.
        sha256: SHA-256 of the checkpoint, in hex.
        int8: Whether the network computes in 8 bits; then it was trained for that.
    """
    parts = {NETWORK: to_int8(module.unet) if int8 else exported(_Network(module).eval())}
    if module.coarse is not None:
        parts[COARSE] = exported(_Coarse(module.coarse).eval())
    model = whole_model(checkpoint, parts)
    properties = {
        "producer": f"radenhance {__version__}",
        "checkpoint_sha256": sha256,
        "precision": "int8" if int8 else "float32",
        "settings": json.dumps(checkpoint.packed()),
        "intended_use": INTENDED_USE,
        **{name: json.dumps(value) for name, value in input_of(checkpoint.flags).items()},
    }
    helper.set_model_props(model, properties)
    return model


def whole_model(checkpoint: Checkpoint, parts: Mapping[str, onnx.ModelProto]) -> onnx.ModelProto:
    """Return the graph around networks, with these in it.

    Args:
        checkpoint: The checkpoint, of which the settings are looked at.
        parts: Networks by the name of the node in whose place they come; all of one version of
            ONNX, each with one input and one output.
    """
    network = parts[NETWORK]
    (opset,) = (entry.version for entry in network.opset_import if not entry.domain)
    text = f'<ir_version: {network.ir_version}, opset_import: ["" : {opset}]>\n{_text(checkpoint)}'
    model = onnx.parser.parse_model(text)
    for name, part in parts.items():
        _put_in(model.graph, name, part)
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = MEANINGS[value.name]
    model.producer_name, model.producer_version = "radenhance", __version__
    onnx.checker.check_model(model)
    return model


class _Network(nn.Module):
    def __init__(self, module: ContrastEnhancer) -> None:
        super().__init__()
        # constants are folded into the weights of plain convolutions, and not into fused ones
        self.memory = replace(module.memory, fused_upsampling=False)
        self.unet = module.unet

    @override
    def forward(self, image: Tensor) -> Tensor:
        return self.memory.run(self.unet, image)


class _Coarse(nn.Module):
    def __init__(self, coarse: CoarseCorrection) -> None:
        super().__init__()
        self.unet = coarse.unet

    @override
    def forward(self, image: Tensor) -> Tensor:
        correction: Tensor = self.unet(image)
        return correction


def _put_in(graph: onnx.GraphProto, name: str, part: onnx.ModelProto) -> None:
    """Put the nodes of a network in the place of the node of that name."""
    nodes = list(graph.node)
    (at,) = (i for i, node in enumerate(nodes) if node.op_type == name)
    inner = onnx.compose.add_prefix_graph(part.graph, f"{name}/")
    ends = {inner.input[0].name: nodes[at].input[0], inner.output[0].name: nodes[at].output[0]}
    for node in inner.node:
        node.input[:] = [ends.get(one, one) for one in node.input]
        node.output[:] = [ends.get(one, one) for one in node.output]
    del graph.node[:]
    graph.node.extend([*nodes[:at], *inner.node, *nodes[at + 1 :]])
    graph.initializer.extend(inner.initializer)


def _text(checkpoint: Checkpoint) -> str:
    """Return the graph around the networks, as ONNX writes it."""
    in_window = checkpoint.input["intensity_range"] == "auto"
    in_field = checkpoint.input["outside_field"] == "black"
    image = "[1, 1, rows, columns]"
    inputs = [f"float{image} {RAW}"]
    inputs += [f"float {LOW}", f"float {HIGH}"] if in_window else []
    inputs += [f"uint8{image} {FIELD}"] if in_field else []
    lines = ["zero = Constant <value_float = 0.0> ()", "one = Constant <value_float = 1.0> ()"]
    lines += _input(in_window, in_field)
    if checkpoint.coarse is not None:
        lines += _coarse(checkpoint.coarse["image_size"])
    else:
        lines += ["image = Identity (shown)"]
    lines += _in_multiples("image", NETWORK, "given")
    is_correction = checkpoint.output == "correction"
    lines += ["whole = Add (image, given)" if is_correction else "whole = Identity (given)"]
    lines += ["bounded = Mul (whole, weights)", "last = Div (bounded, opaque)"] if in_field else []
    lines += [f"{ENHANCED} = Clip ({'last' if in_field else 'whole'}, zero, one)"]
    body = "\n".join(lines)
    return f"radenhance ({', '.join(inputs)}) => (float{image} {ENHANCED})\n{{\n{body}\n}}"


def _input(in_window: bool, in_field: bool) -> Iterator[str]:
    """Yield what makes `shown`, the image that the network was trained on, of the raw one."""
    if in_window:
        yield f"span = Sub ({HIGH}, {LOW})"
        yield f"above = Sub ({RAW}, {LOW})"
        yield "stretched = Div (above, span)"
        yield "seen = Clip (stretched, zero, one)"
    else:
        yield f"seen = Identity ({RAW})"
    if in_field:
        yield "opaque = Constant <value_float = 255.0> ()"
        yield f"weights = Cast <to = 1> ({FIELD})"
        yield "inside = Div (weights, opaque)"
        yield "shown = Mul (seen, inside)"
    else:
        yield "shown = Identity (seen)"


def _in_multiples(image: str, network: str, result: str) -> Iterator[str]:
    """Yield what pads an image by reflection, runs a network on it, and crops what it gives."""
    p = f"{network}_"  # each part has names of its own
    yield f"{p}sides = Shape <start = 2, end = 4> ({image})"
    yield f"{p}stride = Constant <value_int = {DEEPEST_STRIDE}> ()"
    yield f"{p}negative = Neg ({p}sides)"
    yield f"{p}more = Mod ({p}negative, {p}stride)"
    yield f"{p}none = Constant <value_ints = [0, 0, 0, 0, 0, 0]> ()"
    yield f"{p}pads = Concat <axis = 0> ({p}none, {p}more)"
    yield f'{p}padded = Pad <mode = "reflect"> ({image}, {p}pads)'
    yield f"{p}output = {network} ({p}padded)"
    yield f"{p}begin = Constant <value_ints = [0, 0]> ()"
    yield f"{p}axes = Constant <value_ints = [2, 3]> ()"
    yield f"{result} = Slice ({p}output, {p}begin, {p}sides, {p}axes)"


def _coarse(size: int) -> Iterator[str]:
    """Yield what makes `image` of `shown`: the enlarged correction of the reduced image is added.

    As in `CoarseCorrection`, with double precision where Python has it. A mean over an area is a
    product with a matrix, as ONNX has no other for any size.
    """
    yield "all_sides = Shape <start = 2, end = 4> (shown)"
    yield "exact = Cast <to = 11> (all_sides)"
    yield "shorter = ReduceMin <keepdims = 0> (exact)"
    yield f"size = Constant <value = double {{{size}.0}}> ()"
    yield "most = Constant <value = double {1.0}> ()"
    yield "ratio = Div (size, shorter)"
    yield "scale = Min (most, ratio)"
    yield "scaled = Mul (exact, scale)"
    yield "round = Round (scaled)"
    yield "small = Cast <to = 7> (round)"
    yield "start = Constant <value_int = 0> ()"
    yield "step = Constant <value_int = 1> ()"
    yield from _means("rows", 0)
    yield from _means("columns", 1)
    yield "fewer_rows = MatMul (rows_mean, shown)"
    yield "turned = Transpose <perm = [1, 0]> (columns_mean)"
    yield "reduced = MatMul (fewer_rows, turned)"
    yield from _in_multiples("reduced", COARSE, "coarse")
    yield "shape = Shape (shown)"
    yield 'enlarged = Resize <mode = "cubic", cubic_coeff_a = -0.75> (coarse, , , shape)'
    yield "image = Add (shown, enlarged)"


def _means(a: str, axis: int) -> Iterator[str]:
    """Yield what makes the matrix (few, many) that takes means along an axis.

    Its row i has equal weights at the columns from floor(i * many / few) up to, and without,
    ceil((i + 1) * many / few): those of `F.interpolate(mode="area")`.
    """
    yield f"{a}_at = Constant <value_int = {axis}> ()"
    yield f"{a}_many = Gather (all_sides, {a}_at)"
    yield f"{a}_few = Gather (small, {a}_at)"
    yield f"{a}_i = Range (start, {a}_few, step)"
    yield f"{a}_before = Mul ({a}_i, {a}_many)"
    yield f"{a}_first = Div ({a}_before, {a}_few)"
    yield f"{a}_next = Add ({a}_i, step)"
    yield f"{a}_after = Mul ({a}_next, {a}_many)"
    yield f"{a}_less = Sub ({a}_few, step)"
    yield f"{a}_up = Add ({a}_after, {a}_less)"
    yield f"{a}_end = Div ({a}_up, {a}_few)"
    yield f"{a}_last_axis = Constant <value_ints = [1]> ()"
    yield f"{a}_firsts = Unsqueeze ({a}_first, {a}_last_axis)"
    yield f"{a}_ends = Unsqueeze ({a}_end, {a}_last_axis)"
    yield f"{a}_j = Range (start, {a}_many, step)"
    yield f"{a}_begun = GreaterOrEqual ({a}_j, {a}_firsts)"
    yield f"{a}_not_over = Less ({a}_j, {a}_ends)"
    yield f"{a}_within = And ({a}_begun, {a}_not_over)"
    yield f"{a}_ones = Cast <to = 1> ({a}_within)"
    yield f"{a}_lengths = Sub ({a}_ends, {a}_firsts)"
    yield f"{a}_counts = Cast <to = 1> ({a}_lengths)"
    yield f"{a}_mean = Div ({a}_ones, {a}_counts)"
