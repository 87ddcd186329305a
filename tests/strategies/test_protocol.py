"""Whoever asks a strategy gets an answer, and whoever has no such strategy needs none."""

import pytest
import torch
from foreign import Foreign, loader, trainer

from radenhance.enhancer import ContrastEnhancer
from radenhance.log_points import stage_of
from radenhance.strategies import EncoderDecoderStrategy, FullyShardedStrategy
from radenhance.strategies.protocol import PartitionedStrategy, SupportsMemoryTechniques


@pytest.mark.parametrize("strategy", [EncoderDecoderStrategy, FullyShardedStrategy])
def test_a_strategy_of_parts_can_be_asked_before_anybody_listens(strategy):
    made = strategy()
    assert isinstance(made, PartitionedStrategy)
    made.phase_ended("forward")  # nobody listens


def test_a_strategy_cannot_forget_the_gradient_norm():
    class Forgetful(PartitionedStrategy):
        pass

    with pytest.raises(TypeError, match="gradient_norm"):
        Forgetful()


def test_who_listens_to_phases_is_told_to_one_strategy_alone():
    heard = []
    one, other = EncoderDecoderStrategy(), EncoderDecoderStrategy()
    one.phase_ended = heard.append
    one.phase_ended("forward")
    other.phase_ended("backward")
    assert heard == ["forward"]


def test_stages_have_names_and_whole_networks_have_none():
    strategy = EncoderDecoderStrategy()
    strategy.cluster_environment = None
    assert [type(strategy).stage_name.fget(_Ranked(rank)) for rank in range(4)] == [
        "decoder",
        "encoder",
    ] * 2
    assert FullyShardedStrategy().stage_name is None


def test_modules_say_whether_they_run_under_techniques():
    assert isinstance(ContrastEnhancer("tu-mobilenetv3_small_050"), SupportsMemoryTechniques)
    assert not isinstance(Foreign(), SupportsMemoryTechniques)


def test_a_foreign_module_trains_on_one_device_and_callbacks_name_no_stage():
    fit = trainer({}, max_steps=1, limit_val_batches=0)
    fit.fit(Foreign(), loader(2, 2))
    assert fit.global_step == 1
    assert stage_of(fit) is None


def test_the_module_asks_the_strategy_for_the_norm_of_all_gradients(monkeypatch):
    module = ContrastEnhancer("tu-mobilenetv3_small_050")
    fit = trainer({})
    module.trainer = fit
    module.unet.segmentation_head[0].bias.grad = torch.tensor([3.0])
    assert module._gradient_norm() == 3
    strategy = EncoderDecoderStrategy()
    strategy.gradient_norm = lambda: torch.tensor(5.0)  # with those of the other process
    monkeypatch.setattr(type(fit), "strategy", strategy)
    assert module._gradient_norm() == 5


class _Ranked:
    def __init__(self, rank):
        self.global_rank = rank
