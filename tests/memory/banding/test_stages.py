"""Training in bands against plain training on whole images: the whole U-Net, BatchNorm included."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.errors import UsageError
from radenhance.loss.ms_ssim import ms_ssim_loss
from radenhance.loss.streamed import streamed_loss
from radenhance.memory.footprint import Footprint
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import stages_of
from radenhance.network.unet import build_unet
from radenhance.repetition import shortened

PLAIN = MemoryTechniques(fused_upsampling=False)
ROWS, COLUMNS = 96, 64


def away_from_the_start(encoder):
    """A network whose gammas are not one and whose betas are not zero."""
    torch.manual_seed(0)
    unet = build_unet(encoder).double()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return unet


@pytest.fixture(scope="module")
def network():
    return away_from_the_start("resnet18")


def images(batch=2, dtype=torch.float64, rows=ROWS):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, batch, 1, rows, COLUMNS, generator=generator, dtype=dtype)


def train(network, techniques, *, steps=1, micro_batches=1, dtype=torch.float64, autocast=None):
    """Losses of all steps, gradients of the last one, and the state dict after it."""
    unet = copy.deepcopy(network).to(dtype)
    optimizer = torch.optim.SGD(unet.parameters(), lr=1e-3)
    loss_of = ms_ssim_loss if techniques == PLAIN else streamed_loss
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        for raw, target in zip(*(i.chunk(micro_batches) for i in images(dtype=dtype)), strict=True):
            with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=bool(autocast)):
                enhanced = techniques.run(unet, raw)
            loss = loss_of(enhanced, target, num_scales="auto")
            (loss / micro_batches).backward()
            losses.append(loss.detach())
        optimizer.step()
    gradients = {name: p.grad for name, p in unet.named_parameters() if p.grad is not None}
    return torch.stack(losses), gradients, unet.state_dict()


def assert_same(result, expected, *, rtol):
    assert torch.allclose(result[0], expected[0], rtol=rtol, atol=0)
    for ours, plain in zip(result[1:], expected[1:], strict=True):
        assert ours.keys() == plain.keys()
        for name, value in plain.items():
            difference = (ours[name].double() - value.double()).norm()
            assert difference <= rtol * value.double().norm(), name


@pytest.mark.parametrize("checkpointing", ["none", "stage", "unit"])
@pytest.mark.parametrize("band_rows", [1, 6, 7, 10_000, "auto"])
def test_loss_gradients_and_buffers_are_those_of_plain_training(network, band_rows, checkpointing):
    techniques = MemoryTechniques(band_rows=band_rows, checkpointing=checkpointing)
    assert_same(train(network, techniques), train(network, PLAIN), rtol=1e-11)


@pytest.mark.parametrize("checkpointing", ["unit", "stage"])
def test_three_steps_are_three_steps_of_plain_training(network, checkpointing):
    techniques = MemoryTechniques(band_rows=10, checkpointing=checkpointing)
    result = train(network, techniques, steps=3)
    assert_same(result, train(network, PLAIN, steps=3), rtol=1e-11)
    counters = [value for name, value in result[2].items() if name.endswith("batches_tracked")]
    assert counters
    assert all(value == 3 for value in counters)


def test_micro_batches_are_micro_batches_of_plain_training(network):
    result = train(network, MemoryTechniques(band_rows=10), micro_batches=2)
    assert_same(result, train(network, PLAIN, micro_batches=2), rtol=1e-11)


@pytest.mark.parametrize("checkpointing", ["none", "unit", "stage"])
def test_bands_with_offload_are_plain_training(network, checkpointing):
    techniques = MemoryTechniques(band_rows=6, checkpointing=checkpointing, offload_mib=64)
    assert_same(train(network, techniques, steps=2), train(network, PLAIN, steps=2), rtol=1e-11)


def test_bands_with_momentum_are_momentum_without_bands(network):
    plain = MemoryTechniques(momentum=0.9, momentum_reversible=False)
    banded = MemoryTechniques(momentum=0.9, momentum_reversible=False, band_rows=6)
    assert_same(train(network, banded), train(network, plain), rtol=1e-11)


def test_halves_of_a_network_in_bands_are_the_network(network):
    unet = copy.deepcopy(network)
    techniques = MemoryTechniques(band_rows=6)
    stages, skips = techniques.stages_of(unet), []
    features = techniques.run_stages(stages[:4], images()[0], skips)
    assert [skip.shape[1] for skip in skips] == [64, 64, 128, 256]
    result = techniques.run_stages(stages[4:], features, skips)
    expected = PLAIN.run(copy.deepcopy(network), images()[0])
    assert torch.allclose(result, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("checkpointing", ["unit", "stage"])
def test_the_image_gets_the_gradient_of_plain_training(network, checkpointing):
    gradients = []
    for techniques in (PLAIN, MemoryTechniques(band_rows=6, checkpointing=checkpointing)):
        image = images()[0].requires_grad_()
        techniques.run(copy.deepcopy(network), image).square().sum().backward()
        gradients.append(image.grad)
    plain, result = gradients
    assert (result - plain).norm() <= 1e-11 * plain.norm()


@pytest.mark.parametrize("checkpointing", ["none", "stage"])
def test_float32_is_no_farther_from_float64_than_plain_float32(network, checkpointing):
    _, exact, _ = train(network, PLAIN)
    errors = []
    for techniques in (PLAIN, MemoryTechniques(band_rows=10, checkpointing=checkpointing)):
        _, gradients, _ = train(network, techniques, dtype=torch.float32)
        differences = {name: (gradients[name] - value).norm() for name, value in exact.items()}
        errors.append(max(differences[name] / value.norm() for name, value in exact.items()))
    plain, ours = errors
    assert ours <= 1.5 * plain


@pytest.mark.parametrize("checkpointing", ["none", "stage"])
def test_bfloat16_is_as_near_to_float64_as_plain_bfloat16(network, checkpointing):
    _, exact, _ = train(network, PLAIN)
    whole = torch.cat([value.flatten() for value in exact.values()])
    plain, ours = (
        (torch.cat([train_bf16[name].flatten() for name in exact]) - whole).norm()
        for train_bf16 in (
            train(network, techniques, dtype=torch.float32, autocast=torch.bfloat16)[1]
            for techniques in (PLAIN, MemoryTechniques(band_rows=10, checkpointing=checkpointing))
        )
    )
    assert ours <= 1.2 * plain


def test_convolutions_run_in_the_dtype_of_autocast(network):
    unet = copy.deepcopy(network).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        enhanced = MemoryTechniques(band_rows=10).run(unet, images(dtype=torch.float32)[0])
    assert enhanced.dtype == torch.bfloat16


def test_evaluation_is_plain_evaluation_without_seams(network):
    unet = copy.deepcopy(network).eval()
    raw = images()[0]
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    with torch.no_grad():
        plain = PLAIN.run(unet, raw)
        result = MemoryTechniques(band_rows=6).run(unet, raw)
    assert (result - plain).abs().max() <= 1e-12 * plain.abs().max()
    assert all(torch.equal(unet.state_dict()[name], value) for name, value in before.items())


def test_training_with_running_statistics_is_plain_training_with_them(network):
    frozen = copy.deepcopy(network)
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of the images, or the output has no bounds
    frozen(images(dtype=next(frozen.parameters()).dtype)[0])
    frozen.eval()
    assert_same(train(frozen, MemoryTechniques(band_rows=6)), train(frozen, PLAIN), rtol=1e-11)


@pytest.mark.parametrize("momentum", [None, 0.0, 0.3])
def test_running_statistics_follow_the_momentum_of_the_norm(network, momentum):
    other = copy.deepcopy(network)
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    result = train(other, MemoryTechniques(band_rows=6), steps=2)
    assert_same(result, train(other, PLAIN, steps=2), rtol=1e-11)


@pytest.mark.parametrize(
    "frozen",
    [
        "encoder",
        "encoder.conv1",
        "encoder.bn1",
        "encoder.layer1",
        "decoder.blocks.3.conv1",
        "decoder",
        "bn",
    ],
)
@pytest.mark.parametrize("checkpointing", ["unit", "stage"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_its_own(network, frozen, checkpointing):
    part = copy.deepcopy(network)
    for name, parameter in part.named_parameters():
        is_norm = parameter.dim() == 1 and not name.startswith("segmentation_head")
        parameter.requires_grad_(not (is_norm if frozen == "bn" else name.startswith(frozen)))
    result = train(part, MemoryTechniques(band_rows=6, checkpointing=checkpointing))
    assert_same(result, train(part, PLAIN), rtol=1e-11)


def test_a_second_backward_pass_is_refused_instead_of_wrong(network):
    unet = copy.deepcopy(network)
    loss = MemoryTechniques(band_rows=6).run(unet, images()[0]).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_stem_and_all_decoder_stages_and_the_head_run_in_bands(network):
    calls = []
    unet = copy.deepcopy(network)
    encoder, head = unet.encoder, unet.segmentation_head
    stem = (encoder.conv1, encoder.bn1, encoder.relu, encoder.maxpool)
    for module in (*stem, *unet.decoder.modules(), *head.modules()):
        module.register_forward_hook(lambda *_: calls.append(1))
    MemoryTechniques(band_rows=6).run(unet, images()[0])
    assert not calls
    assert sum(stage.upsampling is not None for stage in stages_of(unet)) == 5


def test_a_stem_of_other_layers_stays_as_it_is(network):
    other = copy.deepcopy(network)
    other.encoder.conv1 = nn.Conv2d(1, 64, 5, 2, 2, bias=False, dtype=torch.float64)
    assert_same(train(other, MemoryTechniques(band_rows=6)), train(other, PLAIN), rtol=1e-11)


def test_a_decoder_of_other_layers_is_refused(network):
    unet = copy.deepcopy(network)
    unet.decoder.blocks[2].conv1[1] = nn.InstanceNorm2d(64)
    with pytest.raises(UsageError, match="band_rows needs .* which decoder2 is not"):
        MemoryTechniques(band_rows=6).run(unet, images()[0])


@pytest.mark.parametrize("encoder", ["resnet34", "resnet50", "resnext50_32x4d"])
def test_by_stages_blocks_of_any_kind_are_those_of_plain_training(encoder):
    unet = away_from_the_start(encoder)
    techniques = MemoryTechniques(band_rows=6, checkpointing="stage")
    assert_same(train(unet, techniques), train(unet, PLAIN), rtol=1e-11)


@pytest.mark.parametrize("place", ["bn1", "conv1", "downsample"])
def test_by_stages_a_block_of_other_layers_stays_as_it_is(network, place):
    unet = copy.deepcopy(network)
    block = unet.encoder.layer2[0]
    other = {
        "bn1": nn.InstanceNorm2d(128, affine=True),
        "conv1": nn.Conv2d(64, 128, 3, 2, 1, groups=2, bias=False),
        "downsample": nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(64, 128, 1, bias=False)),
    }
    setattr(block, place, other[place].double())
    techniques = MemoryTechniques(band_rows=6, checkpointing="stage")
    assert_same(train(unet, techniques), train(unet, PLAIN), rtol=1e-11)


def test_by_stages_the_layers_of_the_encoder_run_in_bands_too(network):
    calls = []
    unet = copy.deepcopy(network)
    for module in unet.modules():
        module.register_forward_hook(lambda *_: calls.append(1))
    MemoryTechniques(band_rows=6, checkpointing="stage").run(unet, images()[0])
    assert not calls


def test_training_by_stages_with_running_statistics_is_plain_training_with_them(network):
    frozen = copy.deepcopy(network)
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of the images, or the output has no bounds
    frozen(images()[0])
    frozen.eval()
    techniques = MemoryTechniques(band_rows=6, checkpointing="stage")
    assert_same(train(frozen, techniques), train(frozen, PLAIN), rtol=1e-11)


def test_negative_rows_and_quantized_networks_are_refused():
    with pytest.raises(UsageError, match="band_rows is -1, expected a number of rows"):
        MemoryTechniques(band_rows=-1)
    with pytest.raises(UsageError, match="does not go with"):
        MemoryTechniques(band_rows=8, quantization="qat")


def peak_bytes(techniques, size, *, train=True):
    with FakeTensorMode(), Footprint() as footprint, shortened():
        unet = build_unet("resnet34").train(train)
        image = torch.rand(1, 1, size, size)
        with torch.set_grad_enabled(train):
            enhanced = techniques.run(unet, image)
        if train:
            streamed_loss(enhanced, image).backward()
    return footprint.peak_bytes


def test_a_step_takes_a_fifth_of_the_memory_of_plain_training():
    techniques = MemoryTechniques(band_rows="auto", checkpointing="unit")
    assert peak_bytes(techniques, 2048) < 0.2 * peak_bytes(PLAIN, 2048)


def test_by_stages_a_step_takes_2_4_gib_at_4096_px():
    techniques = MemoryTechniques(band_rows="auto", checkpointing="stage")
    # weights, gradients, image and activations; not the optimizer's 0.2 GiB, nor target and field
    assert peak_bytes(techniques, 4096) < 2.4 * 2**30


def test_evaluation_takes_less_than_half_the_memory_of_plain_evaluation():
    techniques = MemoryTechniques(band_rows="auto")
    plain = peak_bytes(PLAIN, 2048, train=False)
    assert peak_bytes(techniques, 2048, train=False) < 0.5 * plain


def test_bytes_of_a_pixel_do_not_rise_with_the_image():
    techniques = MemoryTechniques(band_rows="auto", checkpointing="unit")
    small, large = (peak_bytes(techniques, size) / size**2 for size in (512, 1024))
    assert large <= small
