"""Several pipelines train as the same number of DDP's replicas do."""

import os
import signal

import pytest
import torch
from foreign import replicated
from processes import command, run_nodes, start_nodes
from test_alarm import wait_for_checkpoint

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def of_ddp(tmp_path_factory):
    result = tmp_path_factory.mktemp("ddp") / "of"
    run_nodes(replicated, str(result), "ddp", folder=result.parent / "run")
    return torch.load(f"{result}-0.pt", weights_only=True)


def test_two_pipelines_are_two_replicas_of_ddp(tmp_path, of_ddp):
    run_nodes(replicated, str(tmp_path / "of"), "pipelines", folder=tmp_path / "run", num=4)
    for rank in range(4):
        ours = torch.load(tmp_path / f"of-{rank}.pt", weights_only=True)
        for name, tensor in of_ddp["weights"].items():
            assert torch.allclose(ours["weights"][name], tensor, rtol=1e-9, atol=1e-12), name
        for name in ("accuracy", "count"):
            assert ours["metrics"][name] == pytest.approx(of_ddp["metrics"][name], abs=1e-9), name


def test_a_process_of_one_pipeline_that_dies_ends_the_others(tmp_path, tiny_flags):
    flags = [
        "fit",
        *tiny_flags,
        "--trainer.num_nodes=4",
        "--trainer.devices=1",
        "--trainer.max_epochs=200",
        "--last_checkpoint.every_n_steps=1",
        "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy",
        f"--trainer.strategy.timeout_s={TIMEOUT_S}",
    ]
    started = start_nodes(command, *flags, folder=tmp_path / "run", num=4)
    wait_for_checkpoint(tmp_path / "run", started)
    os.kill(started[3].process.pid, signal.SIGKILL)
    for process in started[:3]:
        process.wait(TIMEOUT_S)
        assert process.code == 5, process.output
        assert "Traceback" not in process.output
    first = started[0].output.splitlines()[-1]
    assert "(rank 3) died without a word at" in first
