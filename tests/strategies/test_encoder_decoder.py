"""Two processes train as one device does: to the bit, and into the same file."""

from pathlib import Path

import pytest
import torch
import yaml
from foreign import everything, overflow
from processes import command, run, run_two, start_two

from radenhance.dataset.manifest import Pair, write_manifest

LAST = Path("lightning_logs/version_0/checkpoints/last.ckpt")
BOTH = ["--trainer.num_nodes=2", "--trainer.devices=1", "--data.batch_size=3"]
ALONE = ["--data.batch_size=1", "--trainer.accumulate_grad_batches=3"]
TRAINING = [
    "--trainer.gradient_clip_val=0.5",
    "--model.optimizer=torch.optim.SGD",
    "--model.optimizer.lr=0.001",
    "--model.optimizer.momentum=0.9",
    "--model.lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau",
    "--model.lr_scheduler.monitor=val/loss",
    "--model.lr_scheduler.patience=0",
    "--model.lr_scheduler.threshold=1000",  # nothing is ever better: it steps every time
    "--model.lr_scheduler.threshold_mode=abs",
]


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Of a fit of 2 steps per epoch on 6 pairs of noise, with 2 to validate on."""
    root = tmp_path_factory.mktemp("data") / "noise"
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
        for i in range(8):
            # validated whole: of different sizes
            image = torch.randint(0, 65536, (64, 64 + 4 * i), generator=generator)
            torch_to_npy(root / half / f"{i}.npy", image)
    for i in range(8):
        split = "val" if i >= 6 else "train"
        pairs.append(Pair(f"{i}", f"p{i}", f"raw/{i}.npy", f"target/{i}.npy", split))
    write_manifest(root, pairs)
    return [
        "fit",
        f"--data.root={root}",
        "--data.image_size=64",
        "--data.num_workers=0",
        "--model.encoder=tu-mobilenetv3_small_050",
        "--model.num_scales=auto",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        "--trainer.max_epochs=2",
    ]


def torch_to_npy(path, image):
    import numpy as np

    np.save(path, image.numpy().astype(np.uint16))


def content(folder):
    return torch.load(folder / LAST, weights_only=True)


def assert_same_run(result, expected):
    """Weights, buffers, momenta, schedules and counters, all to the bit."""
    ours, theirs = content(result), content(expected)
    assert ours.keys() == theirs.keys()
    assert ours["global_step"] == theirs["global_step"]
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    for name, tensor in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name
    (of_ours,), (of_theirs,) = ours["optimizer_states"], theirs["optimizer_states"]
    assert of_ours["param_groups"] == of_theirs["param_groups"]
    assert of_ours["state"].keys() == of_theirs["state"].keys() != set()
    for index, state in of_theirs["state"].items():
        momentum = of_ours["state"][index]["momentum_buffer"]
        assert torch.equal(momentum, state["momentum_buffer"]), index


@pytest.fixture(scope="module")
def whole(tmp_path_factory, flags):
    """Two epochs on one device."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(command, *flags, *TRAINING, *ALONE, folder=folder)
    assert content(folder)["lr_schedulers"][0]["_last_lr"][0] < 0.001  # the plateau has stepped
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory, flags):
    """One epoch on two, and then, resumed, another: the flags do not name the strategy."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    run_two(command, *flags, *TRAINING, *BOTH, "--trainer.max_epochs=1", folder=folder)
    after_one = content(folder)
    run_two(command, *flags, *TRAINING, *BOTH, "--ckpt_path=last", folder=folder)
    return folder, after_one


def test_two_processes_that_stopped_and_went_on_are_one_device_to_the_bit(shared, whole):
    assert_same_run(shared[0], whole)


def test_the_saved_config_names_the_strategy_that_ran(shared):
    saved = yaml.safe_load((shared[0] / LAST.parents[1] / "config.yaml").read_text())
    assert saved["trainer"]["strategy"] == "encoder_decoder"
    assert saved["trainer"]["num_nodes"] == 2


def test_one_device_goes_on_from_a_checkpoint_of_two(tmp_path, flags, shared, whole):
    torch.save(shared[1], tmp_path / "of_two.ckpt")
    resumed = f"--ckpt_path={tmp_path / 'of_two.ckpt'}"
    run(command, *flags, *TRAINING, *ALONE, resumed, folder=tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_techniques_and_bfloat16_are_exact_too(tmp_path, flags):
    techniques = [
        "--trainer.precision=bf16-mixed",
        "--model.memory.checkpointing=unit",
        "--trainer.max_epochs=1",
    ]
    run(command, *flags, *TRAINING, *techniques, *ALONE, folder=tmp_path / "one")
    run_two(command, *flags, *TRAINING, *techniques, *BOTH, folder=tmp_path / "two")
    assert_same_run(tmp_path / "two", tmp_path / "one")


def test_a_foreign_module_trains_validates_and_predicts_as_on_one_device(tmp_path):
    run(everything, str(tmp_path / "one"), {}, folder=tmp_path / "run")
    run_two(everything, str(tmp_path / "two"), {"micro_batch_size": 2}, folder=tmp_path / "run")
    one = torch.load(tmp_path / "one-0.pt", weights_only=True)
    for rank in range(2):
        two = torch.load(tmp_path / f"two-{rank}.pt", weights_only=True)
        for name, tensor in one["weights"].items():
            assert torch.equal(two["weights"][name], tensor), name
        shared = {name: value for name, value in one["metrics"].items() if name != "train"}
        assert "accuracy/dataloader_idx_1" in shared
        for name, value in shared.items():
            assert two["metrics"][name] == pytest.approx(value, rel=1e-6), name
        for ours, theirs in zip(two["predicted"], one["predicted"], strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_step_that_overflows_is_skipped_by_both_stages(tmp_path):
    run_two(overflow, str(tmp_path / "of"), folder=tmp_path / "run")
    first, second = (torch.load(tmp_path / f"of-{i}.pt", weights_only=True) for i in range(2))
    assert first["scale"] == second["scale"] == 2.0  # halved once
    assert all(tensor.isfinite().all() for tensor in first["weights"].values())


def test_processes_started_differently_are_told_where(tmp_path, flags):
    different = (["--trainer.gradient_clip_val=1.0"], ["--trainer.gradient_clip_val=2.0"])
    both = start_two(command, *flags, *BOTH, folder=tmp_path / "run", different=different)
    for process in both:
        assert process.wait(60).code == 2
        assert "rank 0 has gradient_clip_val 1.0, rank 1 has 2.0" in process.output
        assert "Traceback" not in process.output
