"""A fit on noise that can be repeated anywhere, and whether two of them came to the same."""

from pathlib import Path

import numpy as np
import torch

from radenhance.dataset.manifest import Pair, write_manifest

LAST = Path("lightning_logs/fit_64_0/checkpoints/last.ckpt")
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


def noise_fit(root):
    """Write 6 pairs to train on and 2 to validate on; return the flags, 2 steps per epoch."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
        for i in range(8):
            # validated whole: of different sizes
            image = torch.randint(0, 65536, (64, 64 + 4 * i), generator=generator)
            np.save(root / half / f"{i}.npy", image.numpy().astype(np.uint16))
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
        "--memory_profiler.plan=false",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        "--trainer.max_epochs=2",
    ]


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
