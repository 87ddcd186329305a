"""A checkpoint as an ONNX file, measured against PyTorch before it is written."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_checkpoint import small_coarse_content, small_content
from small_package import small_checkpoint

from radenhance.checkpoint import Checkpoint
from radenhance.dataset.decoded import decoded
from radenhance.dataset.prediction import REDUCED
from radenhance.dicom.read import read
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import RadenhanceError, UsageError
from radenhance.inference import export as exporting
from radenhance.inference.export import ODD, export, feed_of, images, seen_of
from radenhance.inference.model import open_enhancer
from radenhance.package_file import model_sha256
from radenhance.prepare.real import sample

FEW = "tu-resnet10t"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A whole network with window, field and correction: that of few operations to export."""
    folder = tmp_path_factory.mktemp("of Quillfeather")
    content = small_content()
    torch.manual_seed(0)
    content["state_dict"] = ContrastEnhancer(FEW, num_scales="auto").state_dict()
    content["hyper_parameters"] |= {"encoder": FEW, "output": "correction"}
    content["datamodule_hyper_parameters"] |= {"outside_field": "black"}
    torch.save(content, folder / "small.ckpt")
    differences = export(folder / "small.ckpt", folder / "made.onnx")
    return folder, differences


def test_real_radiographs_of_their_own_size_come_out_as_in_pytorch(exported):
    _, differences = exported
    assert {one.name: one.shape for one in differences} == {
        "synthetic": ODD,
        "synthetic, reduced": (129, 163),
        "RG1": (1955, 1841),
        "RG3": (1760, 1760),
    }
    assert all(0 <= one.mean <= one.largest < 1e-5 for one in differences)


def test_the_file_gives_what_enhance_gives_seen_whole_or_reduced(exported):
    folder, _ = exported
    checkpoint = Checkpoint.open(folder / "small.ckpt")
    enhancer = open_enhancer(folder / "small.ckpt", device="cpu")
    session = onnxruntime.InferenceSession(folder / "made.onnx")
    radiograph = read(sample("RG3"))
    shapes = {}
    for side in (71, 145):
        image = decoded(radiograph, image_size=side)
        seen = seen_of(image, checkpoint, "auto")
        (found,) = session.run(["enhanced"], feed_of(image, seen))
        expected = enhancer.enhance(enhancer.batch_of_decoded(image))
        assert expected.std() > 0.05
        assert np.abs(found[0, 0] - expected).max() < 1e-5
        shapes[side] = REDUCED in seen
    assert shapes == {71: False, 145: True}


def test_the_file_says_what_it_is_and_nothing_of_the_machine(exported):
    folder, _ = exported
    content = (folder / "made.onnx").read_bytes()
    model = onnx.ModelProto.FromString(content)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["checkpoint_sha256"] == model_sha256(folder / "small.ckpt")
    settings = json.loads(properties["settings"])
    assert settings == Checkpoint.open(folder / "small.ckpt").packed()
    assert "bone" in properties["polarity"]
    assert json.loads(properties["value_range"]) == [0, 1]
    assert "Not a medical device" in properties["intended_use"]
    for trace in ("Quillfeather", "site-packages", "stages.py", "File ", str(Path.home())):
        assert trace.encode() not in content


def of_a_product(monkeypatch, factor):
    """Let exporting give a graph at once: the input times a factor; the network is its input."""
    node = onnx.helper.make_node("Mul", ["image", "factor"], ["result"])
    ends = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, "h", "w"])]
        for name in ("image", "result")
    ]
    array = onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor")
    graph = onnx.helper.make_graph([node], "g", *ends, [array])
    opset = onnx.helper.make_opsetid("", 20)
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[opset])
    monkeypatch.setattr("radenhance.inference.onnx_model.exported", lambda network: model)
    monkeypatch.setattr(ContrastEnhancer, "network", lambda self, image: image)
    monkeypatch.setattr(exporting, "missing_of", lambda extra: ["data_store"])


def test_a_file_that_gives_other_pixels_is_not_written(monkeypatch):
    checkpoint = small_checkpoint("small.ckpt")
    of_a_product(monkeypatch, 1.01)
    Path("made.onnx").write_text("mine")
    with pytest.raises(RadenhanceError, match="gives other pixels than PyTorch"):
        export(checkpoint, Path("made.onnx"))
    assert Path("made.onnx").read_text() == "mine"
    of_a_product(monkeypatch, 1.0)
    export(checkpoint, Path("made.onnx"))
    assert Path("made.onnx").read_bytes() != b"mine"


def test_a_coarse_correction_is_exported_too(monkeypatch):
    torch.save(small_coarse_content(), "coarse.ckpt")
    of_a_product(monkeypatch, 1.0)
    made = ContrastEnhancer.from_checkpoint

    def of_products(*args, **options):
        module = made(*args, **options)
        module.coarse.unet = torch.nn.Identity()
        return module

    monkeypatch.setattr(ContrastEnhancer, "from_checkpoint", of_products)
    export(Path("coarse.ckpt"), Path("made.onnx"))
    operators = [node.op_type for node in onnx.load("made.onnx").graph.node]
    assert (operators.count("Resize"), operators.count("Round")) == (2, 2)


def test_without_the_real_images_the_synthetic_one_is_compared(monkeypatch):
    monkeypatch.setattr(exporting, "missing_of", lambda extra: ["data_store"])
    content = small_content()
    content["datamodule_hyper_parameters"]["image_size"] = "native"
    assert [name for name, _ in images(Checkpoint(content), "auto")] == ["synthetic"]


def test_8_bits_need_a_network_that_trained_for_them():
    with pytest.raises(UsageError, match=r"small.ckpt was not trained for int8; train with"):
        export(small_checkpoint("small.ckpt"), Path("made.onnx"), int8=True)
    assert not Path("made.onnx").exists()


def test_a_folder_that_is_missing_is_said_before_anything_is_computed():
    with pytest.raises(UsageError, match="there is no folder nowhere; make it first"):
        export(small_checkpoint("small.ckpt"), Path("nowhere/made.onnx"))


def test_more_weights_than_a_file_holds_are_refused(monkeypatch):
    monkeypatch.setattr(exporting, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="more weights than fit into an ONNX file"):
        export(small_checkpoint("small.ckpt"), Path("made.onnx"))
