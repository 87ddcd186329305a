"""Encoder and decoder together are the network, wherever it is split."""

import pytest
import torch
from foreign import Foreign

from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import ImageSizeError, UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.coarse import CoarseCorrection
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.schedule import skip_specs
from radenhance.strategies.encoder_decoder.skips import SkipSpec
from radenhance.strategies.tensor_meta import TensorMeta

SPLIT_POINTS = ["layer1", "layer3", "layer4", "decoder0", "decoder1", "decoder4", "head"]


def skips_of(tensors, **options):
    return SkipSpec(tuple(TensorMeta.of(tensor) for tensor in tensors), **options)


@pytest.mark.parametrize("split_point", SPLIT_POINTS)
def test_both_stages_compute_what_the_whole_does_wherever_it_is_split(split_point):
    module = ContrastEnhancer("resnet18").eval()
    split = NetworkSplit(module, split_point)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        made = split.encode(image)
        skips = skips_of(made)
        assert torch.equal(split.decode(skips.unpack(skips.pack(made))), module(image))
    assert skip_specs(split, image, trains=False) == skips.tensors


def test_a_frozen_network_beside_the_trained_one_is_not_split():
    module = ContrastEnhancer("resnet18", output="correction")
    module.coarse = CoarseCorrection("resnet18", 64)
    split = NetworkSplit(module)
    assert split.network is module.unet
    raw = torch.rand(1, 1, 64, 64)
    image = split.input_of(lambda: module(raw))
    assert torch.equal(image, raw + module.coarse(raw))
    made = split.with_output(torch.ones(1, 1, 64, 64), lambda: module(raw))
    assert torch.equal(made, image + 1)


@pytest.mark.parametrize("encoder", ["tu-mobilenetv3_small_050", "tu-convnext_atto"])
def test_encoders_of_one_stage_are_split_after_it(encoder):
    module = ContrastEnhancer(encoder).eval()
    split = NetworkSplit(module)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        made = split.encode(image)
        skips = skips_of(made)
        packed = skips.pack(made)
        assert all(tensor.is_contiguous() and tensor.numel() for tensor in packed)
        output, expected = split.decode(skips.unpack(packed)), module.unet(image)
    # made contiguous, the channels-last features of a ConvNeXt go through other kernels
    assert torch.allclose(output, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("encoder", ["vgg11", "densenet121", "efficientnet-b0", "mit_b0"])
def test_an_encoder_of_another_family_trains_as_on_one_device(encoder):
    module = ContrastEnhancer(encoder).eval()
    image = torch.rand(1, 1, 32, 32)
    module.network(image).square().mean().backward()
    expected = {name: weight.grad for name, weight in module.unet.named_parameters()}
    module.unet.zero_grad()
    split = NetworkSplit(module)
    made = split.encode(image)
    skips = skips_of(made)
    received = [tensor.detach().requires_grad_() for tensor in skips.pack(made)]
    split.decode(skips.unpack(received)).square().mean().backward()
    torch.autograd.backward(skips.pack(made), [tensor.grad for tensor in received])
    for name, weight in module.unet.named_parameters():
        assert (weight.grad is None) == (expected[name] is None) == (not weight.requires_grad)
        if weight.requires_grad:
            torch.testing.assert_close(weight.grad, expected[name], rtol=1e-5, atol=1e-8, msg=name)


def test_shapes_are_found_without_a_trace_in_the_network():
    module = ContrastEnhancer("resnet18")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    sent = skip_specs(NetworkSplit(module), torch.rand(1, 1, 64, 64), trains=True)
    assert [meta.shape[1:] for meta in sent] == [
        (64, 32, 32),
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
        (512, 2, 2),
    ]
    assert all(meta.requires_grad for meta in sent)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_frozen_layers_send_no_gradient_back():
    module = ContrastEnhancer("resnet18")
    module.unet.encoder.requires_grad_(False)
    sent = skip_specs(NetworkSplit(module), torch.rand(1, 1, 64, 64), trains=True)
    assert not any(meta.requires_grad for meta in sent)


def test_each_tensor_of_the_network_belongs_to_one_stage():
    module = ContrastEnhancer("resnet18")
    encoder = NetworkSplit(module).encoder_tensors()
    of_encoder = (*module.unet.encoder.parameters(), *module.unet.encoder.buffers())
    assert encoder == {id(tensor) for tensor in of_encoder}


def test_a_step_gives_the_networks_input_and_takes_its_output():
    module = Foreign()
    split = NetworkSplit(module)
    x = torch.rand(2, 1, 32, 32)
    assert split.input_of(lambda: module.predict_step((x,), 0)) is x
    output = torch.rand(2, 2, 32, 32)
    assert split.with_output(output, lambda: module.predict_step((x,), 0)) is output
    assert split.with_output(output, lambda: module(x)) is output
    assert "forward" not in vars(module.net)


def test_steps_that_cannot_be_shared_are_refused():
    module = Foreign()
    split = NetworkSplit(module)
    with pytest.raises(UsageError, match="never called the network"):
        split.input_of(lambda: None)
    with pytest.raises(ImageSizeError, match="is 40 x 32, expected multiples of 32"):
        split.input_of(lambda: module(torch.rand(1, 1, 40, 32)))
    x = torch.rand(1, 1, 32, 32)
    with pytest.raises(UsageError, match="more than once"):
        split.with_output(x, lambda: module(module(x)))
    with pytest.raises(UsageError, match=r"EncoderDecoderStrategy.cut is 'layer9', exp"):
        NetworkSplit(module, "layer9")


def test_the_encoders_own_tensors_shrink_and_grow_with_the_split_point():
    module = ContrastEnhancer("resnet18")
    num = [len(NetworkSplit(module, point).encoder_tensors()) for point in SPLIT_POINTS]
    assert num == sorted(set(num))


def test_a_module_without_a_unet_is_told_which_strategies_run_it():
    with pytest.raises(UsageError, match=r'trains 0 .* use Trainer\(strategy="auto"\)'):
        NetworkSplit(torch.nn.Linear(1, 1))


def test_a_memory_attribute_of_another_kind_is_left_alone():
    module = Foreign()
    module.memory = torch.nn.Parameter(torch.rand(1))
    module.network = module.net.forward
    split = NetworkSplit(module)
    x = torch.rand(1, 1, 32, 32)
    assert split.techniques == MemoryTechniques(fused_upsampling=False)
    assert split.input_of(lambda: module(x)) is x  # found at its U-Net


def test_shapes_are_found_after_the_parameters_are_elsewhere():
    module = ContrastEnhancer("resnet18")
    split = NetworkSplit(module)
    image = torch.rand(1, 1, 64, 64)
    expected = skip_specs(split, image, trains=True)
    split.keep_shapes()
    for parameter in module.unet.encoder.parameters():
        parameter.data = parameter.data.new_empty(0)  # as where other replicas have the shards
    assert skip_specs(split, image, trains=True) == expected
