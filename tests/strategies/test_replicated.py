"""Processes that share a machine or a run listen where they must, and send plain data alone."""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from listening import is_loopback, listening, told_of_one_machine
from processes import LAST, command, free_port, start
from torch.nn.parallel import DistributedDataParallel

import radenhance
from radenhance.errors import UsageError
from radenhance.network.unet import build_unet
from radenhance.strategies import FullyShardedStrategy, ReplicatedStrategy

on_linux = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")


@on_linux
@pytest.mark.parametrize("strategy", ["encoder_decoder", "fully_sharded"])
def test_two_processes_of_a_machine_listen_on_loopback_and_unpickle_nothing(tmp_path, strategy):
    port = str(free_port())
    both = [
        start(
            told_of_one_machine,
            str(tmp_path / "told"),
            strategy,
            folder=tmp_path / "run",
            name=f"rank{rank}",
            LOCAL_RANK=str(rank),
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    for process in both:
        assert process.wait(60).code == 0, process.output
    told = [json.loads((tmp_path / f"told-{rank}.json").read_text()) for rank in range(2)]
    assert [of_rank["size"] for of_rank in told] == [2, 2]
    for of_rank in told:
        assert of_rank["addresses"]
        assert all(is_loopback(ip_address(address)) for address in of_rank["addresses"])


@on_linux
def test_a_command_that_starts_two_processes_listens_on_loopback_alone(tmp_path, tiny_flags):
    flags = [*tiny_flags, "--trainer.devices=2", "--trainer.max_epochs=1000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(radenhance.__file__).parents[1])}
    run = subprocess.Popen(
        [sys.executable, "-m", "radenhance", "fit", *flags, "--last_checkpoint.every_n_steps=1"],
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / LAST).exists():
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        of_processes = [listening(pid) for pid in (run.pid, *children)]
    finally:
        run.terminate()
        run.wait(60)
    assert len([addresses for addresses in of_processes if addresses]) == 2
    assert all(is_loopback(address) for addresses in of_processes for address in addresses)


def test_machines_with_different_secrets_are_both_told_in_one_sentence(tmp_path, tiny_flags):
    flags = ["fit", *tiny_flags, "--trainer.devices=1", "--trainer.num_nodes=2"]
    port = str(free_port())
    both = [
        start(
            command,
            *flags,
            "--trainer.strategy=ddp",
            folder=tmp_path / "run",
            name=f"rank{rank}",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            NODE_RANK=str(rank),
            RADENHANCE_SECRET=str(rank) * 16,
        )
        for rank in range(2)
    ]
    for rank, process in enumerate(both):
        assert process.wait(60).code == 2, process.output
        sentence = f"rank {1 - rank} has another RADENHANCE_SECRET than rank {rank}; set the same"
        assert sentence in process.output
        assert "Traceback" not in process.output


def test_every_name_of_lightnings_ddp_is_ours():
    kinds = {name: entry["strategy"] for name, entry in StrategyRegistry.items()}
    assert {name for name in kinds if name.startswith("ddp")} == {
        name for name, kind in kinds.items() if kind is ReplicatedStrategy
    }
    assert kinds["ddp_find_unused_parameters_true"] is ReplicatedStrategy
    assert DDPStrategy not in kinds.values()


@pytest.mark.parametrize("strategy", ["auto", "ddp", "fully_sharded"])
def test_several_devices_get_a_strategy_of_ours(strategy):
    trainer = Trainer(accelerator="cpu", devices=2, strategy=strategy, logger=False)
    assert isinstance(trainer.strategy, ReplicatedStrategy)


def test_options_of_ddp_reach_lightning():
    strategy = ReplicatedStrategy("gloo", timedelta(seconds=5), find_unused_parameters=True)
    assert strategy.process_group_backend == "gloo"
    assert strategy.timeout == timedelta(seconds=5)
    assert FullyShardedStrategy("nccl").process_group_backend == "nccl"


def test_an_encoder_with_weights_that_never_run_trains(one_process):
    replica = DistributedDataParallel(build_unet("efficientnet-b0").eval())
    for _ in range(2):  # the second step fails where a gradient of the first was missing
        replica(torch.rand(1, 1, 64, 64)).sum().backward()


def test_what_lightning_broadcasts_arrives_as_it_was(one_process):
    strategy = ReplicatedStrategy(parallel_devices=[torch.device("cpu")])
    strategy.cluster_environment = type("One", (), {"local_rank": lambda self: 0})()
    for value in ("folder", Path("folder"), True, None, 3, {"lr": [0.1, 0.2]}):
        assert strategy.broadcast(value) == value
    with pytest.raises(UsageError, match="Callback cannot be sent to another process"):
        strategy.broadcast(Callback())


def test_before_processes_have_met_everything_is_local():
    value = Callback()
    assert ReplicatedStrategy().broadcast(value) is value
