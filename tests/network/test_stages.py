import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

from radenhance.errors import UsageError
from radenhance.network.stages import Sequential, Stage, Unit, Upsampling, run_stages, stages_of
from radenhance.network.unet import build_unet


def test_every_weight_belongs_to_exactly_one_unit():
    for encoder in ("resnet34", "vgg11_bn"):
        unet = build_unet(encoder)
        modules = [module for stage in stages_of(unet) for module in stage.modules]
        owned = [parameter for module in modules for parameter in module.parameters()]
        assert len(owned) == len({id(parameter) for parameter in owned})
        assert {id(parameter) for parameter in owned} == {id(p) for p in unet.parameters()}


def test_stages_of_a_resnet_have_the_names_of_its_layers():
    names = [stage.name for stage in stages_of(build_unet("resnet34"))]
    assert names[:5] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert names[5:] == [*(f"decoder{i}" for i in range(5)), "head"]


def test_another_encoder_is_one_stage_and_a_center_block_one_more():
    names = [stage.name for stage in stages_of(build_unet("vgg11_bn"))]
    assert names[:3] == ["encoder", "center", "decoder0"]
    assert [stage.name for stage in stages_of(build_unet("mobilenet_v2"))][1] == "decoder0"


@pytest.mark.parametrize("cut", [1, 4, 7, 9])
def test_two_parts_of_a_network_compute_what_it_computes_whole(cut):
    unet, skips = build_unet("resnet18").eval(), []
    stages, image = stages_of(unet), torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        features = run_stages(stages[:cut], image, skips)
        num_open = sum(s.gives_skip for s in stages[:cut]) - sum(s.takes_skip for s in stages[:cut])
        assert len(skips) == num_open
        assert torch.equal(run_stages(stages[cut:], features, skips), unet(image))
    assert skips == []


def test_the_skip_goes_to_the_first_unit_and_what_comes_before_it_first():
    unit = Unit(lambda x: 2 * x, (), before=lambda x, skip: x + skip)
    stage = Stage("decoder0", (unit, Unit(lambda x: x - 1, ())), takes_skip=True)
    assert stage(torch.tensor(3.0), torch.tensor(4.0)) == 13
    assert Sequential((unit, torch.neg))(torch.tensor(3.0), torch.tensor(4.0)) == -14


def test_a_stage_of_skips_and_features_leaves_the_deepest_skip_last():
    encoder = Stage("encoder", (Unit(lambda x: (x, x + 1, x + 2), ()),))
    decoder = Stage("decoder0", (Unit(lambda x, skip: 10 * x + skip, ()),), takes_skip=True)
    skips = []
    assert run_stages([encoder, decoder], torch.tensor(1.0), skips) == 10 * 3 + 2
    assert skips == [1.0]


def test_upsampling_doubles_both_sides_and_puts_the_skip_behind():
    features, skip = torch.rand(2, 3, 5, 4), torch.rand(2, 1, 10, 8)
    result = Upsampling("nearest")(features, skip)
    assert torch.equal(result[:, :3], F.interpolate(features, scale_factor=2))
    assert torch.equal(result[:, 3:], skip)
    assert Upsampling("bilinear")(features).shape == (2, 3, 10, 8)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"decoder_attention_type": "scse"}, r"decoder attention \(SCSEModule\)"),
        ({"encoder_depth": 4, "decoder_channels": (64, 32, 16, 8)}, "encoder_depth=4"),
        ({"aux_params": {"classes": 2}}, r"a classification head \(aux_params\)"),
    ],
)
def test_a_part_without_a_stage_is_refused_by_name(options, named):
    with torch.device("meta"):
        unet = smp.Unet("resnet18", encoder_weights=None, in_channels=1, **options)
    with pytest.raises(UsageError, match=f"a U-Net with {named} cannot be taken apart"):
        stages_of(unet)


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {"decoder_interpolation": "bilinear"},
        {"decoder_channels": (24, 20, 16, 12, 8)},
        {"decoder_use_norm": False},
    ],
)
def test_other_decoders_are_the_librarys_as_well(options):
    unet = smp.Unet("tu-mobilenetv3_small_050", encoder_weights=None, in_channels=1, **options)
    image = torch.rand(1, 1, 64, 96)
    assert torch.equal(run_stages(stages_of(unet.eval()), image), unet(image))
