"""Two split are the network, wherever it is cut."""

import pytest
import torch
from foreign import Foreign

from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import ImageSizeError, UsageError
from radenhance.strategies.encoder_decoder.batches import joined, micro_batches
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.schedule import skip_specs
from radenhance.strategies.encoder_decoder.skips import SkipSpec, TensorMeta

CUTS = ["layer1", "layer3", "layer4", "decoder0", "decoder1", "decoder4", "head"]


def crossing_of(tensors, **options):
    return SkipSpec(tuple(TensorMeta.of(tensor) for tensor in tensors), **options)


@pytest.mark.parametrize("cut", CUTS)
def test_halves_compute_what_the_whole_does_wherever_it_is_cut(cut):
    module = ContrastEnhancer("resnet18").eval()
    split = NetworkSplit(module, cut)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        made = split.encode(image)
        crossing = crossing_of(made)
        assert torch.equal(split.decode(crossing.unpack(crossing.pack(made))), module.unet(image))
    assert skip_specs(split, image, trains=False) == crossing.kinds


@pytest.mark.parametrize("encoder", ["tu-mobilenetv3_small_050", "tu-convnext_atto"])
def test_encoders_of_one_stage_are_cut_after_it(encoder):
    module = ContrastEnhancer(encoder).eval()
    split = NetworkSplit(module)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        made = split.encode(image)
        crossing = crossing_of(made)
        packed = crossing.pack(made)
        assert all(tensor.is_contiguous() and tensor.numel() for tensor in packed)
        output, expected = split.decode(crossing.unpack(packed)), module.unet(image)
    # made contiguous, the channels-last features of a ConvNeXt go through other kernels
    assert torch.allclose(output, expected, rtol=0, atol=1e-5)


def test_shapes_are_found_without_a_trace_in_the_network():
    module = ContrastEnhancer("resnet18")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    kinds = skip_specs(NetworkSplit(module), torch.rand(1, 1, 64, 64), trains=True)
    assert [kind.shape[1:] for kind in kinds] == [
        (64, 32, 32),
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
        (512, 2, 2),
    ]
    assert all(kind.requires_grad for kind in kinds)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_frozen_layers_send_no_gradient_back():
    module = ContrastEnhancer("resnet18")
    module.unet.encoder.requires_grad_(False)
    kinds = skip_specs(NetworkSplit(module), torch.rand(1, 1, 64, 64), trains=True)
    assert not any(kind.requires_grad for kind in kinds)


def test_each_tensor_of_the_network_belongs_to_one_half():
    module = ContrastEnhancer("resnet18")
    encoder = NetworkSplit(module).encoder_tensors()
    of_encoder = (*module.unet.encoder.parameters(), *module.unet.encoder.buffers())
    assert encoder == {id(tensor) for tensor in of_encoder}


def test_bfloat16_halves_the_bytes_of_float32_and_comes_back_as_float32():
    tensor = torch.rand(1, 4, 8, 8)
    exact, short = crossing_of([tensor]), crossing_of([tensor], bfloat16=True)
    assert exact.num_bytes == 2 * short.num_bytes == 4 * tensor.numel()
    (back,) = short.unpack(short.pack([tensor]))
    assert torch.equal(back, tensor.bfloat16().float())


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
    with pytest.raises(ImageSizeError, match="multiple of 32 a side, got 40 x 32"):
        split.input_of(lambda: module(torch.rand(1, 1, 40, 32)))
    x = torch.rand(1, 1, 32, 32)
    with pytest.raises(UsageError, match="more than once"):
        split.with_output(x, lambda: module(module(x)))
    with pytest.raises(UsageError, match="--trainer.strategy.cut layer9 is not a stage"):
        NetworkSplit(module, "layer9")


def test_micro_batches_divide_tensors_and_names_and_come_together_again():
    batch = {"raw": torch.arange(4), "case": ["a", "b", "c", "d"], "of": "fit"}
    parts = micro_batches(batch, 2)
    assert [part["case"] for part in parts] == [["a", "b"], ["c", "d"]]
    assert parts[1]["raw"].tolist() == [2, 3]
    together = joined(parts)
    assert together["raw"].tolist() == [0, 1, 2, 3]
    assert together["case"] == batch["case"]
    assert together["of"] == "fit"
