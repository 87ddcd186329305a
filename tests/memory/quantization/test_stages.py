import copy

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import UsageError
from radenhance.loss.ms_ssim import ms_ssim, ms_ssim_loss
from radenhance.memory.footprint import Footprint
from radenhance.memory.quantization.grid import (
    Grid,
    keep_codes,
    pack_bits,
    quantize_,
    quantized_weights,
    rearranged,
    unpack_bits,
)
from radenhance.memory.quantization.int8 import Int8Network, to_int8
from radenhance.memory.quantization.observer import Observer
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.unet import build_unet

QAT = MemoryTechniques(quantization="qat")


@pytest.mark.parametrize(("zero_point", "relu"), [(100.0, False), (0.0, True)])
def test_rounding_and_its_gradient_are_those_of_pytorch(zero_point, relu):
    x = (12 * torch.randn(1000)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    upstream = torch.rand(1000)
    step = 1 / 16  # divides exactly: PyTorch multiplies with the reciprocal
    ours = quantize_(x * 1, Grid(torch.tensor(step), torch.tensor(zero_point)), relu=relu)
    before = y.relu() if relu else y
    theirs = torch.fake_quantize_per_tensor_affine(before, step, int(zero_point), 0, 255)
    ours.backward(upstream)
    theirs.backward(upstream)
    assert torch.equal(ours, theirs)
    assert torch.equal(x.grad, y.grad)
    assert 0 < (x.grad == 0).sum() < 1000


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("low", [-3.7, 0.0])
def test_what_is_kept_in_a_byte_comes_back_bit_for_bit(dtype, low):
    grid = Grid.of_range(torch.tensor(low), torch.tensor(2.9))
    x = torch.linspace(-5, 5, 4096).to(dtype).view(1, 4, 32, 32).requires_grad_()
    with keep_codes():
        value = quantize_(x * 1, grid)
        doubled = rearranged(lambda t: F.interpolate(t, scale_factor=2.0), value)
        both = rearranged(lambda *t: torch.cat(t, dim=1), doubled, doubled)
        squares = [t.square() for t in (value, both)]
    for square, expected in zip(squares, (value, both), strict=True):
        saved = square.grad_fn._saved_self
        assert saved.untyped_storage().data_ptr() != expected.untyped_storage().data_ptr()
        assert saved.dtype == dtype
        assert torch.equal(saved, expected)
    assert len(value.unique()) <= 256


def test_a_tensor_that_was_changed_is_kept_as_it_is():
    grid = Grid.of_range(torch.tensor(-1.0), torch.tensor(1.0))
    with keep_codes():
        value = quantize_(torch.rand(8, requires_grad=True) * 1, grid)
        value.add_(0.3)
        square = value.square()
    assert torch.equal(square.grad_fn._saved_self, value)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 4, 8)])
def test_flags_survive_being_packed(shape):
    flags = torch.rand(shape) > 0.5
    packed = pack_bits(flags)
    assert len(packed) == -(-flags.numel() // 8)
    assert torch.equal(unpack_bits(packed, flags.shape), flags)


def test_batchnorm_can_be_folded_into_rounded_weights_without_rounding_anew():
    weight = torch.randn(8, 3, 3, 3, dtype=torch.float64)
    factor = torch.randn(8, 1, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(
        quantized_weights(weight * factor), quantized_weights(weight) * factor, rtol=1e-12, atol=0
    )


def test_weights_lie_on_127_steps_each_way_and_have_their_gradient_passed_on():
    weight = torch.randn(8, 3, 3, 3, requires_grad=True)
    upstream = torch.rand(8, 3, 3, 3)
    rounded = quantized_weights(weight)
    rounded.backward(upstream)
    steps = rounded / weight.abs().amax((1, 2, 3), keepdim=True) * 127
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert torch.equal(weight.grad, upstream)


def test_range_starts_at_the_first_values_and_moves_a_tenth_in_training_only():
    running = Observer()
    running.grid([torch.tensor([-1.0, 3.0])], relu=False)
    running.grid([torch.tensor([-2.0]), torch.tensor([13.0])], relu=False)
    expected = torch.tensor([-1.1, 4.0])
    torch.testing.assert_close(running.bounds, expected)
    running.eval().grid([torch.tensor([-9.0, 99.0])], relu=False)
    torch.testing.assert_close(running.bounds, expected)


def step(techniques, *, dtype=torch.float64, autocast=None):
    """Two steps of gradient descent: losses, last gradients and state dict."""
    torch.manual_seed(0)
    unet = build_unet("resnet18").to(dtype)
    optimizer = torch.optim.SGD(unet.parameters(), lr=1e-4)
    losses = []
    for raw in torch.rand(2, 2, 1, 64, 64, dtype=dtype):
        with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            enhanced = techniques.run(unet, raw)
        loss = ms_ssim_loss(enhanced, raw.sqrt(), num_scales="auto")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, [p.grad for p in unet.parameters()], unet.state_dict()


def assert_equal(result, expected):
    losses, gradients, state = expected
    assert result[0] == losses
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all(map(torch.equal, result[1], gradients))
    assert result[2].keys() == state.keys()
    assert all(torch.equal(result[2][name], value) for name, value in state.items())


@pytest.fixture(scope="module")
def quantized():
    return step(QAT)


@pytest.mark.parametrize(
    "other", [{"checkpointing": "unit"}, {"checkpointing": "stage"}, {"offload_mib": 64}]
)
def test_other_techniques_leave_it_as_it_is_and_ranges_move_once(quantized, other):
    assert_equal(step(MemoryTechniques(quantization="qat", **other)), quantized)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_gradients_are_those_of_keeping_floats(monkeypatch, autocast):
    result = step(QAT, dtype=torch.float32, autocast=autocast)
    monkeypatch.setattr("radenhance.memory.quantization.grid._kept_as", lambda tensor: None)
    assert_equal(result, step(QAT, dtype=torch.float32, autocast=autocast))


def peak_bytes(techniques, size):
    with FakeTensorMode(), Footprint() as footprint:
        unet = build_unet("resnet34")
        image = torch.rand(1, 1, size, size)
        ms_ssim_loss(techniques.run(unet, image), image).backward()
    return footprint.peak_bytes


def test_peak_is_below_three_fifths_of_plain_training():
    assert peak_bytes(QAT, 2048) < 0.6 * peak_bytes(MemoryTechniques(), 2048)


def test_a_network_that_never_trained_validates():
    unet = build_unet("resnet18").eval()
    with torch.inference_mode():
        assert QAT.run(unet, torch.rand(1, 1, 64, 64)).isfinite().all()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: MemoryTechniques(quantization="qat", momentum=0.9), "does not go with"),
        (lambda: MemoryTechniques(quantization="int4"), "expected one of none, qat"),
        (lambda: QAT.stages_of(build_unet("tu-mobilenetv3_small_050")), "residual layers"),
        (lambda: to_int8(build_unet("resnet18")), "was not trained for int8"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(make, reason):
    with pytest.raises(UsageError, match=reason):
        make()


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
    with pytest.raises(UsageError, match="is not an ONNX model"):
        Int8Network(tmp_path / "broken.onnx")
