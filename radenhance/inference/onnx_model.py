"""A trained network as one graph in ONNX, from unit values to enhanced pixels.

The network's own graph takes images whose sides are multiples of 32, in the window that it was
trained on, and gives a correction, perhaps; whoever runs it elsewhere would have to write again
what stands around it here, and would write it a little differently. So all of it is in the graph,
written down as ONNX's own text, with the network's nodes in the place of one named `Network`.

As `radenhance enhance` does, a network that was trained on reduced images sees a reduced one, and
its correction is enlarged and added to the image, which is a matter of sizes that the graph itself
computes from those of the image.

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
from radenhance.dataset.prediction import FAR, REDUCED_FIELD, PredictAt
from radenhance.enhancer import ContrastEnhancer
from radenhance.inference.card import INTENDED_USE, input_of
from radenhance.memory.quantization.int8 import to_int8
from radenhance.network.coarse import CoarseCorrection
from radenhance.network.onnx_graph import exported
from radenhance.network.unet import DEEPEST_STRIDE

RAW, LOW, HIGH, FIELD, ENHANCED = "raw", "low", "high", "field", "enhanced"
"""Names of inputs and output; another is `REDUCED_FIELD`."""

NETWORK, COARSE = "Network", "Coarse"
"""Nodes of the text in whose place a network comes."""

MEANINGS = {
    RAW: "unit values of the radiograph, more attenuation (bone) brighter; at least 32 a side",
    LOW: "the unit value that becomes 0: that at the 0.1 percentile of the exposed field",
    HIGH: "the unit value that becomes 1: that at the 99.9 percentile of the exposed field",
    FIELD: "how much of each pixel is in the exposed field: 0 outside the collimator, 255 inside",
    REDUCED_FIELD: "the same at the size at which the network sees the image, or one value for all",
    ENHANCED: "the enhanced image, in [0, 1], of the same rows and columns and polarity",
}


def onnx_model(
    checkpoint: Checkpoint, module: ContrastEnhancer, *, at: PredictAt, sha256: str, int8: bool
) -> onnx.ModelProto:
    """Return the model.

    Args:
        checkpoint: The checkpoint.
        module: Its network, on the CPU and in evaluation.
        at: The size at which the network sees an image.
        sha256: SHA-256 of the checkpoint, in hex.
        int8: Whether the network computes in 8 bits; then it was trained for that.
    """
    parts = {NETWORK: to_int8(module.unet) if int8 else exported(_Network(module).eval())}
    if module.coarse is not None:
        parts[COARSE] = exported(_Coarse(module.coarse).eval())
    model = whole_model(checkpoint, parts, at)
    properties = {
        "producer": f"radenhance {__version__}",
        "checkpoint_sha256": sha256,
        "precision": "int8" if int8 else "float32",
        "at": at,
        "settings": json.dumps(checkpoint.packed()),
        "intended_use": INTENDED_USE,
        **{name: json.dumps(value) for name, value in input_of(checkpoint.flags).items()},
    }
    helper.set_model_props(model, properties)
    return model


def whole_model(
    checkpoint: Checkpoint, parts: Mapping[str, onnx.ModelProto], at: PredictAt
) -> onnx.ModelProto:
    """Return the graph around networks, with these in it.

    Args:
        checkpoint: The checkpoint, of which the settings are looked at.
        parts: Networks by the name of the node in whose place they come; all of one version of
            ONNX, each with one input and one output.
        at: The size at which the network sees an image.
    """
    network = parts[NETWORK]
    (opset,) = (entry.version for entry in network.opset_import if not entry.domain)
    text = (
        f'<ir_version: {network.ir_version}, opset_import: ["" : {opset}]>\n{_text(checkpoint, at)}'
    )
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


def _text(checkpoint: Checkpoint, at: PredictAt) -> str:
    """Return the graph around the networks, as ONNX writes it."""
    in_window = checkpoint.input["intensity_range"] == "auto"
    in_field = checkpoint.input["outside_field"] == "black"
    size = checkpoint.input["image_size"]
    reduces = at != "native" and size != "native"
    image = "[1, 1, rows, columns]"
    inputs = [f"float{image} {RAW}"]
    inputs += [f"float {LOW}", f"float {HIGH}"] if in_window else []
    inputs += [f"uint8{image} {FIELD}"] if in_field else []
    inputs += (
        [f"uint8[1, 1, few_rows, few_columns] {REDUCED_FIELD}"] if in_field and reduces else []
    )
    lines = [*_constants(in_window, in_field), *_input("", RAW, FIELD, in_window, in_field)]
    if reduces:
        lines += _reduction(size, 1.0 if at == "training" else FAR)
        lines += _input("small_", "small_raw", REDUCED_FIELD, in_window, in_field)
        lines += _network(checkpoint, "small_", in_field)
        lines += _enlargement(in_field)
    else:
        lines += _network(checkpoint, "", in_field)
        lines += ["last = Identity (whole)"]
    lines += [f"{ENHANCED} = Clip (last, zero, one)"]
    body = "\n".join(lines)
    return f"radenhance ({', '.join(inputs)}) => (float{image} {ENHANCED})\n{{\n{body}\n}}"


def _constants(in_window: bool, in_field: bool) -> Iterator[str]:
    yield "zero = Constant <value_float = 0.0> ()"
    yield "one = Constant <value_float = 1.0> ()"
    if in_window:
        yield f"span = Sub ({HIGH}, {LOW})"
    if in_field:
        yield "opaque = Constant <value_float = 255.0> ()"


def _input(p: str, raw: str, field: str, in_window: bool, in_field: bool) -> Iterator[str]:
    """Yield what makes `shown`, an image as the network was trained on, of a raw one."""
    if in_window:
        yield f"{p}above = Sub ({raw}, {LOW})"
        yield f"{p}stretched = Div ({p}above, span)"
        yield f"{p}seen = Clip ({p}stretched, zero, one)"
    else:
        yield f"{p}seen = Identity ({raw})"
    if in_field:
        yield f"{p}weights = Cast <to = 1> ({field})"
        yield f"{p}inside = Div ({p}weights, opaque)"
        yield f"{p}shown = Mul ({p}seen, {p}inside)"
    else:
        yield f"{p}shown = Identity ({p}seen)"


def _network(checkpoint: Checkpoint, p: str, in_field: bool) -> Iterator[str]:
    """Yield what makes `whole` of `shown`, as `ContrastEnhancer.forward` does."""
    if checkpoint.coarse is not None:
        yield from _coarse(f"{p}shown", checkpoint.coarse["image_size"])
    else:
        yield f"image = Identity ({p}shown)"
    yield from _in_multiples("image", NETWORK, "given")
    is_correction = checkpoint.output == "correction"
    yield "full = Add (image, given)" if is_correction else "full = Identity (given)"
    if in_field:
        yield f"bounded = Mul (full, {p}weights)"
        yield f"{p}whole = Div (bounded, opaque)"
    else:
        yield f"{p}whole = Identity (full)"


def _reduction(size: int, far: float) -> Iterator[str]:
    """Yield what makes `small_raw` of the raw image, as `prediction_input` does.

    An image that the network sees at its own size has a reduction of its size to itself: products
    with unit matrices.
    """
    yield f"raw_sides = Shape <start = 2, end = 4> ({RAW})"
    yield "raw_exact = Cast <to = 11> (raw_sides)"
    yield "raw_shorter = ReduceMin <keepdims = 0> (raw_exact)"
    yield f"trained = Constant <value = double {{{size}.0}}> ()"
    yield f"far = Constant <value = double {{{size * far}}}> ()"
    yield "same = Constant <value = double {1.0}> ()"
    yield f"is_near = {'LessOrEqual' if far == 1 else 'Less'} (raw_shorter, far)"
    yield "fewer = Div (trained, raw_shorter)"
    yield "raw_scale = Where (is_near, same, fewer)"
    yield "raw_scaled = Mul (raw_exact, raw_scale)"
    yield "raw_round = Round (raw_scaled)"
    yield "raw_least = Min (trained, raw_shorter)"
    yield "raw_few = Max (raw_round, raw_least)"
    yield from _areas("area_rows", 0)
    yield from _areas("area_columns", 1)
    yield f"raw_fewer_rows = MatMul (area_rows_mean, {RAW})"
    yield "area_turned = Transpose <perm = [1, 0]> (area_columns_mean)"
    yield "small_raw = MatMul (raw_fewer_rows, area_turned)"


def _areas(a: str, axis: int) -> Iterator[str]:
    """Yield what makes the matrix (few, many) that takes means over areas along an axis.

    Its weights are how much of the column j lies in the area of the row i, from i * many / few to
    (i + 1) * many / few, those of OpenCV's INTER_AREA, which leaves out less than 0.001.
    """
    yield f"{a}_at = Constant <value_int = {axis}> ()"
    yield f"{a}_many = Gather (raw_exact, {a}_at)"
    yield f"{a}_few = Gather (raw_few, {a}_at)"
    yield f"{a}_length = Div ({a}_many, {a}_few)"
    yield f"{a}_zero = Constant <value = double {{0.0}}> ()"
    yield f"{a}_step = Constant <value = double {{1.0}}> ()"
    yield f"{a}_tiny = Constant <value = double {{0.001}}> ()"
    yield f"{a}_i = Range ({a}_zero, {a}_few, {a}_step)"
    yield f"{a}_first = Mul ({a}_i, {a}_length)"
    yield f"{a}_end = Add ({a}_first, {a}_length)"
    yield f"{a}_last_axis = Constant <value_ints = [1]> ()"
    yield f"{a}_firsts = Unsqueeze ({a}_first, {a}_last_axis)"
    yield f"{a}_ends = Unsqueeze ({a}_end, {a}_last_axis)"
    yield f"{a}_j = Range ({a}_zero, {a}_many, {a}_step)"
    yield f"{a}_next = Add ({a}_j, {a}_step)"
    yield f"{a}_from = Max ({a}_firsts, {a}_j)"
    yield f"{a}_to = Min ({a}_ends, {a}_next)"
    yield f"{a}_common = Sub ({a}_to, {a}_from)"
    yield f"{a}_enough = Greater ({a}_common, {a}_tiny)"
    yield f"{a}_kept = Where ({a}_enough, {a}_common, {a}_zero)"
    yield f"{a}_shares = Div ({a}_kept, {a}_length)"
    yield f"{a}_mean = Cast <to = 1> ({a}_shares)"


def _enlargement(in_field: bool) -> Iterator[str]:
    """Yield what makes `last`: the image with the enlarged correction, as in `predict_step`."""
    yield "correction = Sub (small_whole, small_shown)"
    yield "correction_shape = Shape (shown)"
    yield from _enlarged("correction", "correction_shape", "wide")
    yield "corrected = Add (shown, wide)"
    if in_field:  # it is in `whole` already where nothing was reduced
        yield "outside = Where (is_near, one, inside)"
        yield "last = Mul (corrected, outside)"
    else:
        yield "last = Identity (corrected)"


def _enlarged(small: str, shape: str, result: str) -> Iterator[str]:
    """Yield what enlarges an image, as `network.coarse.enlarged` does."""
    yield f'{result} = Resize <mode = "cubic", cubic_coeff_a = -0.75> ({small}, , , {shape})'


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


def _coarse(shown: str, size: int) -> Iterator[str]:
    """Yield what makes `image`: to what is shown the correction of the reduced image is added.

    As in `CoarseCorrection`, with double precision where Python has it. A mean over an area is a
    product with a matrix, as ONNX has no other for any size.
    """
    yield "start = Constant <value_int = 0> ()"
    yield "step = Constant <value_int = 1> ()"
    yield "most = Constant <value = double {1.0}> ()"
    yield f"all_sides = Shape <start = 2, end = 4> ({shown})"
    yield "exact = Cast <to = 11> (all_sides)"
    yield "shorter = ReduceMin <keepdims = 0> (exact)"
    yield f"size = Constant <value = double {{{size}.0}}> ()"
    yield "ratio = Div (size, shorter)"
    yield "scale = Min (most, ratio)"
    yield "scaled = Mul (exact, scale)"
    yield "round = Round (scaled)"
    yield "small = Cast <to = 7> (round)"
    yield from _means("rows", 0)
    yield from _means("columns", 1)
    yield f"fewer_rows = MatMul (rows_mean, {shown})"
    yield "turned = Transpose <perm = [1, 0]> (columns_mean)"
    yield "reduced = MatMul (fewer_rows, turned)"
    yield from _in_multiples("reduced", COARSE, "coarse")
    yield f"shape = Shape ({shown})"
    yield from _enlarged("coarse", "shape", "enlarged")
    yield f"image = Add ({shown}, enlarged)"


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
