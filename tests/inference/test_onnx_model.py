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
from radenhance.dataset.resample import resample
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


def feed_of(session, shape, small_shape=(1, 1)):
    """Values for the inputs that a model has, in part outside of the window."""
    random = np.random.default_rng(sum(shape))
    values = {
        "reduced_field": random.integers(0, 256, (1, 1, *small_shape)).astype(np.uint8),
        "raw": random.random((1, 1, *shape), np.float32),
        "low": np.array(0.1, np.float32),
        "high": np.array(0.83, np.float32),
        "field": random.integers(0, 256, (1, 1, *shape)).astype(np.uint8),
    }
    return {one.name: values[one.name] for one in session.get_inputs()}


def shown(raw, field, feed):
    """An image in the window of a feed, black outside of the field that it has of this name."""
    if "low" in feed:
        raw = np.clip((raw - feed["low"]) / (feed["high"] - feed["low"]), 0, 1)
    if field in feed:
        raw = raw * (feed[field].astype(np.float32) / np.float32(255))
    return torch.from_numpy(raw)


@torch.inference_mode()
def in_torch(module, feed, size=None):
    """What a module gives of a feed, where it sees an image that was reduced to a size."""
    batch = {"raw": shown(feed["raw"], "field", feed)}
    if "field" in feed:
        batch["field"] = torch.from_numpy(feed["field"])
    if size is not None:
        small = resample(feed["raw"][0, 0], size)[None, None]
        batch["reduced"] = shown(small, "reduced_field", feed)
        if "reduced_field" in feed:
            batch["reduced_field"] = torch.from_numpy(feed["reduced_field"])
    return module.predict_step(batch, 0).numpy()


@pytest.mark.parametrize(
    ("output", "intensity_range", "outside_field"),
    list(itertools.product(("image", "correction"), ("auto", "declared"), ("keep", "black"))),
)
def test_one_file_gives_what_pytorch_gives_at_every_size(output, intensity_range, outside_field):
    checkpoint = Checkpoint(content(output, intensity_range, outside_field))
    module, parts = with_convolutions(checkpoint)
    session = session_of(whole_model(checkpoint, parts, "native"))
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
    session = session_of(whole_model(checkpoint, parts, "native"))
    for shape in (*SIZES, (64, 64), (65, 129), (200, 451)):
        feed = feed_of(session, shape)
        (found,) = session.run(None, feed)
        expected = in_torch(module, feed)
        assert np.abs(expected - in_torch(without, feed)).mean() > 0.01
        assert np.abs(found - expected).max() < 1e-5


TRAINED = 64
REDUCED = {(96, 130): (64, 87), (97, 131): (64, 86), (128, 512): (64, 256), (451, 200): (144, 64)}
"""Sizes of images that a network of `TRAINED` pixels sees reduced, and the reduced ones."""


@pytest.mark.parametrize(
    ("output", "intensity_range", "outside_field", "coarse"),
    [
        ("image", "auto", "black", False),
        ("image", "declared", "keep", False),
        ("correction", "declared", "black", False),
        ("correction", "auto", "keep", True),
    ],
)
def test_what_a_network_adds_to_a_reduced_image_is_enlarged_in_the_file(
    output, intensity_range, outside_field, coarse
):
    checkpoint = Checkpoint(content(output, intensity_range, outside_field, coarse))
    module, parts = with_convolutions(checkpoint)
    session = session_of(whole_model(checkpoint, parts, "auto"))
    for shape, small in REDUCED.items():
        feed = feed_of(session, shape, small)
        (found,) = session.run(None, feed)
        expected = in_torch(module, feed, TRAINED)
        assert np.abs(expected - in_torch(module, feed)).mean() > 0.01
        assert np.abs(found - expected).max() < 3e-5  # places of pixels are rounded


@pytest.mark.parametrize(("at", "shapes"), [("auto", [(95, 200)]), ("training", [(64, 200)])])
def test_an_image_of_about_the_size_of_training_is_seen_as_it_is(at, shapes):
    checkpoint = Checkpoint(content("correction", "auto", "black"))
    module, parts = with_convolutions(checkpoint)
    session = session_of(whole_model(checkpoint, parts, at))
    for shape in (*shapes, (33, 64)):
        feed = feed_of(session, shape)
        feed["reduced_field"] = feed["field"]
        (found,) = session.run(None, feed)
        assert np.abs(found - in_torch(module, feed)).max() < 1e-6


def test_an_image_without_a_collimator_needs_one_value_for_a_reduced_field():
    checkpoint = Checkpoint(content("correction", "auto", "black"))
    module, parts = with_convolutions(checkpoint)
    session = session_of(whole_model(checkpoint, parts, "training"))
    feed = feed_of(session, (65, 129))
    feed |= {name: np.full_like(feed[name], 255) for name in ("field", "reduced_field")}
    assert feed["reduced_field"].size == 1
    (found,) = session.run(None, feed)
    feed["reduced_field"] = np.full((1, 1, 64, 127), 255, np.uint8)
    assert np.abs(found - in_torch(module, feed, TRAINED)).max() < 3e-5


def test_a_network_of_8_bits_is_put_into_the_same_graph():
    checkpoint = Checkpoint(content("correction", "auto", "keep"))
    small = small_int8()
    whole, alone = (
        session_of(whole_model(checkpoint, {NETWORK: small}, "native")),
        session_of(small),
    )
    module = ContrastEnhancer.from_checkpoint(checkpoint).eval()
    module.network = lambda image: torch.from_numpy(alone.run(None, {"image": image.numpy()})[0])
    for shape in SIZES:
        feed = feed_of(whole, shape)
        assert np.abs(whole.run(None, feed)[0] - in_torch(module, feed)).max() < 1e-6


def test_inputs_and_output_say_what_they_are():
    checkpoint = Checkpoint(content("correction", "auto", "black"))
    graph = whole_model(checkpoint, with_convolutions(checkpoint)[1], "auto").graph
    ends = {value.name: value for value in (*graph.input, *graph.output)}
    assert list(ends) == ["raw", "low", "high", "field", "reduced_field", "enhanced"]
    assert all(value.doc_string for value in ends.values())
    dims = [dim.dim_param or dim.dim_value for dim in ends["raw"].type.tensor_type.shape.dim]
    assert dims == [1, 1, "rows", "columns"]
    assert ends["field"].type.tensor_type.elem_type == onnx.TensorProto.UINT8
