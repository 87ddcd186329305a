"""Steps by rows are those of one device, in float64, whatever the shares."""

import pytest
import torch
from by_rows import (
    counted_by_rows,
    measured_by_rows,
    module_of,
    rounded_by_rows,
    trained_by_rows,
)
from lightning.pytorch import LightningModule
from processes import run_nodes

from radenhance.errors import UsageError
from radenhance.rows.link import CountingLink
from radenhance.strategies.rows.steps import refuse_if_unequal, refuse_unsupported

GATED = "tu-regnety_002"

CASES = {
    2: [
        ("resnet18", (102, 64), {"band_rows": 6}),
        ("resnet18", (102, 64), {"band_rows": 6, "checkpointing": "stage"}),
        ("resnet18", (150, 70), {"checkpointing": "unit", "fused_upsampling": False}),
        ("resnet18", (102, 64), {"channels_last": True}),
        (GATED, (140, 70), {"checkpointing": "stage"}),
    ],
    3: [("resnet34", (140, 70), {})],
    4: [("resnet18", (150, 64), {})],
}
"""Number of processes -> encoder, rows and columns, and memory techniques."""


@pytest.mark.parametrize("num", CASES)
def test_weights_gradients_and_statistics_are_those_of_one_device(tmp_path, num):
    run_nodes(trained_by_rows, num, CASES[num], folder=tmp_path / "run", num=num)


def test_measures_are_those_of_whole_images(tmp_path):
    sizes = [(96, 70), (133, 200), (330, 180)]
    run_nodes(measured_by_rows, 3, sizes, folder=tmp_path / "run", num=3)


def test_what_is_counted_is_what_is_sent(tmp_path):
    task = (counted_by_rows, 2, "tu-mobilenetv3_small_050", (96, 64), {"band_rows": 8})
    run_nodes(*task, folder=tmp_path / "run")


def test_float32_is_no_farther_from_float64_than_on_one_device(tmp_path):
    run_nodes(rounded_by_rows, 2, "resnet18", (134, 64), folder=tmp_path / "run")


def test_a_network_whose_halos_do_not_come_is_refused():
    module = module_of("tu-mobilenetv3_small_050", torch.float32)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with pytest.raises(UsageError, match="by rows it computes something else"):
        refuse_if_unequal(module, CountingLink(0, 2), torch.device("cpu"))
    assert all(torch.equal(before[name], buffer) for name, buffer in module.named_buffers())


@pytest.mark.parametrize(
    "techniques", [{"momentum": 0.9}, {"quantization": "qat"}, {"compile": "default"}]
)
def test_techniques_that_do_not_go_with_rows_are_refused_by_name(techniques):
    (name,) = techniques
    with pytest.raises(UsageError, match=f"MemoryTechniques.{name} does not go with .* rows"):
        refuse_unsupported(module_of("resnet18", torch.float32, **techniques))


def test_manual_optimization_is_refused():
    module = module_of("resnet18", torch.float32)
    module.automatic_optimization = False
    with pytest.raises(UsageError, match="automatic_optimization is False, expected True"):
        refuse_unsupported(module)


def test_a_module_whose_loss_does_not_know_of_rows_is_refused():
    with pytest.raises(UsageError, match="LightningModule cannot be trained by rows"):
        refuse_unsupported(LightningModule())
