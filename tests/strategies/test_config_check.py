"""Processes that were started differently are found out before they train."""

from dataclasses import asdict

import pytest
from foreign import Foreign, trainer

from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.strategies.config_check import check_agreement, settings_of
from radenhance.strategies.encoder_decoder.options import PipelineOptions


def settings(options=PipelineOptions(), techniques=MemoryTechniques(), **of_trainer):  # noqa: B008
    return settings_of(asdict(options), techniques, trainer({}, **of_trainer), Foreign())


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("cut", {"options": PipelineOptions(cut="decoder1")}),
        ("micro_batch_size", {"options": PipelineOptions(micro_batch_size=2)}),
        ("bfloat16_transfer", {"options": PipelineOptions(bfloat16_transfer=True)}),
        ("memory", {"techniques": MemoryTechniques(checkpointing="unit")}),
        ("accumulate_grad_batches", {"accumulate_grad_batches": 2}),
        ("gradient_clip_val", {"gradient_clip_val": 1.0}),
        ("max_epochs", {"max_epochs": 3}),
        ("precision", {"precision": "64-true"}),
    ],
)
def test_a_setting_that_differs_is_named_with_both_values(name, other):
    expected = rf"rank 0 has {name} .*, rank 1 has .*; start all processes with the same"
    with pytest.raises(UsageError, match=expected):
        check_agreement([settings(), settings(**other)])


def test_equal_settings_agree():
    check_agreement([settings(), settings()])


def test_a_setting_that_one_process_does_not_have_is_named():
    with pytest.raises(UsageError, match="rank 0 has model depth nothing, rank 1 has 3"):
        check_agreement([settings(), settings() | {"model depth": "3"}])
