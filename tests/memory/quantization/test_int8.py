"""The int8 model of a trained network, in a file that ONNX Runtime runs."""

import copy

import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from small_checkpoint import small_content

from radenhance.checkpoint import Checkpoint
from radenhance.errors import UsageError
from radenhance.inference.onnx_model import NETWORK, whole_model
from radenhance.loss.ms_ssim import ms_ssim, ms_ssim_loss
from radenhance.memory.quantization.int8 import Int8Network, to_int8, was_trained
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet, pad_to_stride

QAT = MemoryTechniques(quantization="qat")


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    unet = build_unet("resnet18")
    optimizer = torch.optim.Adam(unet.parameters(), lr=2e-3)
    for raw in torch.rand(12, 4, 1, 8, 8):
        raw = F.interpolate(raw, scale_factor=8, mode="bicubic").clamp(0, 1)
        optimizer.zero_grad()
        ms_ssim_loss(QAT.run(unet, raw), raw.sqrt(), num_scales="auto").backward()
        optimizer.step()
    with torch.no_grad():  # as behind a head that begins at zero and has not trained
        norm = unet.encoder.layer1[0].bn1
        for tensor in (norm.bias, norm.running_mean):
            tensor.zero_()
    return unet.eval()


@pytest.fixture(scope="module")
def model(trained):
    before = copy.deepcopy(trained.state_dict())
    model = to_int8(trained)
    assert all(torch.equal(before[k], v) for k, v in trained.state_dict().items())
    return model


def test_int8_model_computes_what_was_trained_at_any_size(trained, model, tmp_path):
    onnx.save(model, tmp_path / "int8.onnx")
    network = Int8Network(tmp_path / "int8.onnx")
    image = F.interpolate(torch.rand(2, 1, 12, 20), scale_factor=8, mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        expected = QAT.run(trained, image)
    result = network(image)
    assert result.shape == image.shape
    assert ms_ssim(result, expected, num_scales="auto").min() > 0.99


def test_int8_model_in_the_graph_of_export_computes_what_was_trained(trained, model):
    content = small_content()
    content["datamodule_hyper_parameters"] |= {"intensity_range": "declared"}
    whole = whole_model(Checkpoint(content), {NETWORK: model}, "native")
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    for rows, columns in ((97, 131), (64, 150)):
        image = F.interpolate(torch.rand(1, 1, 12, 20), (rows, columns), mode="bicubic")
        image = image.clamp(0, 1)
        with torch.no_grad():
            expected = QAT.run(trained, pad_to_stride(image))[..., :rows, :columns].clamp(0, 1)
        (found,) = session.run(["enhanced"], {"raw": image.numpy()})
        assert ms_ssim(torch.from_numpy(found), expected, num_scales="auto").min() > 0.99


def test_int8_model_names_no_file_of_the_machine_that_made_it(model):
    content = model.SerializeToString()
    assert not any(trace in content for trace in (b"site-packages", b"stages.py", b"File "))


def test_a_convolution_whose_biases_are_all_zero_has_8_bit_weights_too(model):
    dequantized = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    without = [n for n in model.graph.node if n.op_type == "Conv" and len(n.input) == 2]
    assert any(set(node.input) <= dequantized for node in without)


def test_int8_model_holds_weights_in_a_byte_but_for_stem_last_layer_and_head(trained, model):
    initializers = {array.name: array for array in model.graph.initializer}
    kinds = [
        onnx.TensorProto.DataType.Name(array.data_type)
        for array in initializers.values()
        if len(array.dims) == 4
    ]
    num_convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in trained.modules())
    assert kinds.count("INT8") == num_convolutions - 3
    assert kinds.count("FLOAT") == 3
    assert model.ByteSize() < 0.27 * sum(p.nbytes for p in trained.parameters())


def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        Int8Network(tmp_path / "missing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError, match="is not an int8 model of radenhance: it is another file"):
        Int8Network(tmp_path / "broken.onnx")


def test_a_network_that_trained_without_or_not_yet_is_refused():
    unet = build_unet("resnet18")
    assert not was_trained(unet)
    QAT.stages_of(unet)
    assert not was_trained(unet)
    with pytest.raises(UsageError, match=r"not trained for int8.*MemoryTechniques\(quantization="):
        to_int8(unet)
