"""Replicas of pipelines, and of whole networks, train as DDP's do."""

import os
import signal

import pytest
import torch
from foreign import replicated, techniques
from processes import LAST, command, run, run_nodes, start_nodes, wait_for_checkpoint

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def of_ddp(tmp_path_factory):
    result = tmp_path_factory.mktemp("ddp") / "of"
    run_nodes(replicated, str(result), "ddp", folder=result.parent / "run")
    return result


@pytest.mark.parametrize(
    ("kind", "num"), [("pipelines", 4), ("sharded_pipelines", 4), ("fully_sharded", 2)]
)
def test_replicas_that_stopped_and_went_on_are_those_of_ddp(tmp_path, of_ddp, kind, num):
    run_nodes(replicated, str(tmp_path / "of"), kind, folder=tmp_path / "run", num=num)
    ours, theirs = (
        torch.load(f"{result}-2.ckpt", weights_only=True) for result in (tmp_path / "of", of_ddp)
    )
    assert ours["global_step"] == theirs["global_step"] == 4
    assert_close(ours["state_dict"], theirs["state_dict"])
    momenta = [
        {i: state["momentum_buffer"] for i, state in of["optimizer_states"][0]["state"].items()}
        for of in (ours, theirs)
    ]
    assert_close(*momenta)
    saved = [torch.load(tmp_path / f"of-{rank}.pt", weights_only=True) for rank in range(num)]
    expected = torch.load(f"{of_ddp}-0.pt", weights_only=True)["metrics"]
    for of_rank in saved:
        for name in ("accuracy", "count"):
            assert of_rank["metrics"][name] == pytest.approx(expected[name], abs=1e-9), name
    kept = sum(of_rank["num_kept"] for of_rank in saved)
    assert kept == saved[0]["weights"] * (2 if kind == "pipelines" else 1)


@pytest.fixture(scope="module")
def of_one(tmp_path_factory):
    result = tmp_path_factory.mktemp("one") / "of"
    run(techniques, str(result), "one", folder=result.parent / "run")
    return torch.load(f"{result}-0.pt", weights_only=True)


@pytest.mark.parametrize("strategy", ["encoder_decoder", "ddp", "fully_sharded"])
def test_techniques_train_on_two_as_on_one(tmp_path, of_one, strategy):
    run_nodes(techniques, str(tmp_path / "of"), strategy, folder=tmp_path / "run")
    of_ranks = [torch.load(tmp_path / f"of-{rank}.pt", weights_only=True) for rank in range(2)]
    refused = set()
    if strategy == "fully_sharded":
        refused = {"bands", "momentum", "quantization", "correction in bands"}
    for name, of_alone in of_one.items():
        for ours in of_ranks:
            if name in refused:
                assert "does not go with sharded parameters" in ours[name]
            elif (
                name == "quantization" and strategy == "ddp"
            ):  # each replica finds ranges in its own images
                assert_close(ours[name], of_ranks[0][name], tolerance=0)
            else:
                assert_close(ours[name], of_alone)


def test_fsdp_by_flag_trains_on_cpus_and_leaves_a_checkpoint_of_one_device(tmp_path, tiny_flags):
    flags = ["fit", *tiny_flags, "--trainer.devices=1", "--trainer.max_epochs=1"]
    run_nodes(
        command, *flags, "--trainer.num_nodes=2", "--trainer.strategy=fsdp", folder=tmp_path / "run"
    )
    saved = tmp_path / "run" / LAST
    assert torch.load(saved, weights_only=True)["epoch"] == 0
    resumed = [f"--ckpt_path={saved}", "--trainer.max_epochs=2"]
    run(command, *flags, *resumed, folder=tmp_path / "one")  # it goes on in the folder of its run
    assert torch.load(saved, weights_only=True)["epoch"] == 1


def assert_close(ours, theirs, tolerance=1e-9):
    """Assert that both have the same tensors, within a share of each tensor's largest value."""
    assert ours.keys() == theirs.keys() != set()
    for name, tensor in theirs.items():
        scale = float(tensor.abs().max()) if tensor.is_floating_point() else 0
        assert torch.allclose(ours[name], tensor, rtol=0, atol=tolerance * scale), name


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
