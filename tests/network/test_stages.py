import pytest
import torch

from radenhance.network.stages import one_after_the_other, run_stages, stages_of
from radenhance.network.unet import build_unet


def run(unet, image):
    stages = stages_of(unet)
    parts = [one_after_the_other([unit.run for unit in stage.units]) for stage in stages]
    return run_stages(stages, parts, image)


@pytest.mark.parametrize(
    "encoder", ["resnet18", "resnet50", "tu-mobilenetv3_small_050", "densenet121"]
)
def test_stages_compute_what_the_network_computes(encoder):
    torch.manual_seed(0)
    unet = build_unet(encoder).eval()
    image = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        assert torch.equal(run(unet, image), unet(image))


def test_every_weight_belongs_to_exactly_one_unit():
    unet = build_unet("resnet34")
    owned = [
        parameter
        for stage in stages_of(unet)
        for unit in stage.units
        for module in unit.modules
        for parameter in module.parameters()
    ]
    assert len(owned) == len({id(parameter) for parameter in owned})
    assert {id(parameter) for parameter in owned} == {id(p) for p in unet.parameters()}


def test_stages_of_a_resnet_have_the_names_of_its_layers():
    names = [stage.name for stage in stages_of(build_unet("resnet34"))]
    assert names[:5] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert names[5:] == [*(f"decoder{i}" for i in range(5)), "head"]
