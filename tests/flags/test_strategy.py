import pytest
import torch
from jsonargparse import Namespace

from radenhance.flags.strategy import choose_strategy


def chosen(**options):
    plain = {"strategy": "auto", "num_nodes": 1, "devices": "auto", "accelerator": "auto"}
    trainer = Namespace(**{**plain, **options})
    choose_strategy(trainer)
    return trainer.strategy


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("fsdp", "fully_sharded"),
        ("radenhance.strategies.EncoderDecoderStrategy", "encoder_decoder"),
        ("radenhance.strategies.FullyShardedStrategy", "fully_sharded"),
        ("radenhance.strategies.RowsStrategy", "rows"),
        ("radenhance.strategies.ReplicatedStrategy", "ddp"),
        ("lightning.pytorch.strategies.DDPStrategy", "ddp"),
        ("ddp", "ddp"),
        ("auto", "auto"),
    ],
)
def test_other_names_mean_a_registered_strategy(named, meant):
    assert chosen(strategy=named) == meant


@pytest.mark.parametrize(
    "options",
    [{"devices": 1}, {"devices": "1"}, {"devices": [3]}, {"accelerator": "cpu"}, {}],
)
def test_two_nodes_of_one_device_share_the_network(options, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert chosen(num_nodes=2, **options) == "encoder_decoder"


@pytest.mark.parametrize(
    "options",
    [
        {"num_nodes": 1, "devices": 1},
        {"num_nodes": 3, "devices": 1},
        {"num_nodes": 2, "devices": 2},
        {"num_nodes": 2, "devices": [0, 1]},
        {"num_nodes": 2, "devices": "auto"},
    ],
)
def test_other_numbers_are_left_to_lightning(options, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen(**options) == "auto"


def test_a_strategy_with_options_is_left_as_it_is():
    named = Namespace(class_path="radenhance.strategies.EncoderDecoderStrategy")
    assert chosen(strategy=named, num_nodes=2, devices=1) is named


def test_lightnings_ddp_with_options_is_ours_with_them():
    options = {"find_unused_parameters": True}
    named = Namespace(
        class_path="lightning.pytorch.strategies.DDPStrategy", init_args=Namespace(**options)
    )
    assert chosen(strategy=named).class_path == "radenhance.strategies.ReplicatedStrategy"
    assert vars(named.init_args) == options
