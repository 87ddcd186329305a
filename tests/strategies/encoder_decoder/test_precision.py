"""Norms, clipping and overflows are those of the whole network, in a group of one process."""

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from pairs import in_a_pair, norms, stage_gradients
from torch import nn
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

from radenhance.strategies.encoder_decoder.precision import (
    decide_together,
    norm_over_stages,
)

CPU = torch.device("cpu")


def parameters_of(*gradients):
    made = [nn.Parameter(torch.zeros(5)) for _ in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = gradient
    return made


def test_the_norm_is_that_of_one_device_to_the_bit(one_process):
    torch.manual_seed(0)
    gradients = [torch.randn(5) for _ in range(40)]
    gradients[3::5] = [None] * len(gradients[3::5])  # frozen, or of the other stage
    parameters = parameters_of(*gradients)
    expected = torch.nn.utils.get_total_norm([g for g in gradients if g is not None])
    assert torch.equal(norm_over_stages(parameters, one_process, CPU), expected)


def test_a_network_without_gradients_has_norm_0(one_process):
    assert norm_over_stages(parameters_of(None, None), one_process, CPU) == 0


def test_clipping_is_by_the_common_norm(one_process):
    parameters = parameters_of(torch.full((5,), 2.0), torch.full((5,), 4.0), None)
    plugin = Precision()
    decide_together(plugin, one_process, CPU, one_process)
    plugin.clip_gradients(torch.optim.SGD(parameters, lr=1), clip_val=1.0)
    assert norm_over_stages(parameters, one_process, CPU) == pytest.approx(1, abs=1e-5)
    assert parameters[1].grad[0] == pytest.approx(2 * float(parameters[0].grad[0]))


def test_a_plugin_of_another_run_clips_as_ever(one_process):
    decide_together(Precision(), one_process, CPU, one_process)
    assert "clip_grad_by_norm" not in vars(Precision())


def test_the_scaler_keeps_its_scale_when_it_becomes_a_common_one(one_process):
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))
    decide_together(plugin, one_process, CPU, one_process)
    assert isinstance(plugin.scaler, ShardedGradScaler)
    assert plugin.scaler.get_scale() == 8


def test_precisions_without_a_scaler_need_none(one_process):
    plugin = MixedPrecision("bf16-mixed", "cpu")
    decide_together(plugin, one_process, CPU, one_process)
    assert plugin.scaler is None


def test_two_stages_have_the_norm_of_one_device_to_the_bit(tmp_path):
    _, gradients = stage_gradients()
    expected = torch.nn.utils.get_total_norm(gradients)
    assert all(torch.equal(norm, expected) for norm in in_a_pair(norms, tmp_path))
