"""The graph around a network gives what PyTorch gives, at any size; the network is a convolution.

That exporting a whole network is right is tested where it is exported: `test_export.py`.
"""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_checkpoint import small_coarse_content, small_content
from small_int8 import small_int8

from radenhance.checkpoint import Checkpoint
from radenhance.enhancer import ContrastEnhancer
from radenhance.inference.onnx_model import COARSE, NETWORK, whole_model

SIZES = [(64, 96), (33, 64), (97, 131), (150, 90), (32, 161)]


class Convolution(torch.nn.Module):
    """In the place of a U-Net; as a graph, too."""

    def __init__(self, seed):
        super().__init__()
        random = np.random.default_rng(seed)
        self.weight = torch.from_numpy(0.3 * random.normal(size=(1, 1, 5, 5)).astype(np.float32))

    def forward(self, image):
        return torch.nn.functional.conv2d(image, self.weight, padding=2)

    def graph(self):
        ends = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, "h", "w"])]
            for name in ("image", "result")
        ]
        conv = helper.make_node("Conv", ["image", "w"], ["result"], pads=[2, 2, 2, 2])
        weight = numpy_helper.from_array(self.weight.numpy(), "w")
        graph = helper.make_graph([conv], "convolution", *ends, [weight])
        opset = helper.make_opsetid("", 20)
        return helper.make_model(graph, ir_version=10, opset_imports=[opset])


def content(output, intensity_range, outside_field, coarse=False):
    made = small_coarse_content() if coarse else small_content()
    made["hyper_parameters"]["output"] = output
    made["datamodule_hyper_parameters"] |= {
        "intensity_range": intensity_range,
        "outside_field": outside_field,
    }
    return made


def with_convolutions(checkpoint):
    """The module of a checkpoint and its graphs, with convolutions for networks."""
    module = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    network = Convolution(0)
    module.network = lambda image: network(image)  # a module would stand behind the method
    parts = {NETWORK: network.graph()}
    if module.coarse is not None:
        module.coarse.unet = Convolution(1)
        parts[COARSE] = module.coarse.unet.graph()
    return module, parts


def session_of(model):
    return onnxruntime.InferenceSession(model.SerializeToString())


def feed_of(session, shape):
    """Values for the inputs that a model has, in part outside of the window."""
    random = np.random.default_rng(sum(shape))
    values = {
        "raw": random.random((1, 1, *shape), np.float32),
        "low": np.array(0.1, np.float32),
        "high": np.array(0.83, np.float32),
        "field": random.integers(0, 256, (1, 1, *shape)).astype(np.uint8),
    }
    return {one.name: values[one.name] for one in session.get_inputs()}


@torch.inference_mode()
def in_torch(module, feed):
    seen = feed["raw"].copy()
    if "low" in feed:
        seen = np.clip((seen - feed["low"]) / (feed["high"] - feed["low"]), 0, 1)
    batch = {"raw": torch.from_numpy(seen)}
    if "field" in feed:
        batch["raw"] *= torch.from_numpy(feed["field"].astype(np.float32) / np.float32(255))
        batch["field"] = torch.from_numpy(feed["field"])
    return module.predict_step(batch, 0).numpy()


@pytest.mark.parametrize(
    ("output", "intensity_range", "outside_field"),
    list(itertools.product(("image", "correction"), ("auto", "declared"), ("keep", "black"))),
)
def test_one_file_gives_what_pytorch_gives_at_every_size(output, intensity_range, outside_field):
    checkpoint = Checkpoint(content(output, intensity_range, outside_field))
    module, parts = with_convolutions(checkpoint)
    session = session_of(whole_model(checkpoint, parts))
    names = {one.name for one in session.get_inputs()}
    assert ("low" in names, "field" in names) == (
        intensity_range == "auto",
        outside_field == "black",
    )
    for shape in SIZES:
        feed = feed_of(session, shape)
        (found,) = session.run(["enhanced"], feed)
        expected = in_torch(module, feed)
        assert expected.std() > 0.02
        assert np.abs(found - expected).max() < 1e-6


def test_a_coarse_correction_is_in_the_file_at_every_size():
    checkpoint = Checkpoint(content("correction", "auto", "black", coarse=True))
    module, parts = with_convolutions(checkpoint)
    without = with_convolutions(Checkpoint(content("correction", "auto", "black")))[0]
    session = session_of(whole_model(checkpoint, parts))
    for shape in (*SIZES, (64, 64), (65, 129), (200, 451)):
        feed = feed_of(session, shape)
        (found,) = session.run(None, feed)
        expected = in_torch(module, feed)
        assert np.abs(expected - in_torch(without, feed)).mean() > 0.01
        assert np.abs(found - expected).max() < 1e-5


def test_a_network_of_8_bits_is_put_into_the_same_graph():
    checkpoint = Checkpoint(content("correction", "auto", "keep"))
    small = small_int8()
    whole, alone = session_of(whole_model(checkpoint, {NETWORK: small})), session_of(small)
    module = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    module.network = lambda image: torch.from_numpy(alone.run(None, {"image": image.numpy()})[0])
    for shape in SIZES:
        feed = feed_of(whole, shape)
        assert np.abs(whole.run(None, feed)[0] - in_torch(module, feed)).max() < 1e-6


def test_inputs_and_output_say_what_they_are():
    checkpoint = Checkpoint(content("correction", "auto", "black"))
    graph = whole_model(checkpoint, with_convolutions(checkpoint)[1]).graph
    ends = {value.name: value for value in (*graph.input, *graph.output)}
    assert list(ends) == ["raw", "low", "high", "field", "enhanced"]
    assert all(value.doc_string for value in ends.values())
    dims = [dim.dim_param or dim.dim_value for dim in ends["raw"].type.tensor_type.shape.dim]
    assert dims == [1, 1, "rows", "columns"]
    assert ends["field"].type.tensor_type.elem_type == onnx.TensorProto.UINT8
