"""Claim: once the cache holds the radiographs, training does not wait for them.

    python benchmarks/data.py
    python benchmarks/data.py --spacing-mm 0.1

Per sample of synthetic radiographs, in one process: without a cache; cold, when its entry is made;
warm, in the epochs after that. Then resnet18 trains on this machine's processor with two workers:
the share of the time in which it waits for batches, in the first epoch, start of the workers
included, and in the second. The first command takes about two minutes on two cores.
"""

import argparse
import logging
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import harness
import torch

from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.loader import ResumableLoader
from radenhance.planning.planned_run import PlannedRun
from radenhance.prepare.synthesize import synthesize

SETTINGS: dict[str, dict[str, Any]] = {
    "192": {"image_size": 192},
    "512": {"image_size": 512},
    "1024": {"image_size": 1024},
    "native, crops of 512": {"image_size": "native", "crop_size": 512},
}


def sample_ms(root: Path, options: dict[str, Any], epoch: int) -> float:
    """Return the median time of an augmented training sample of an epoch, in this process."""
    data = RadiographDataModule(root=root, num_workers=0, **options)
    data.setup("fit")
    dataset = data.train_dataloader().dataset
    for current in range(epoch + 1):
        times = [
            harness.seconds(partial(dataset.__getitem__, (current, index)))
            for index in range(len(dataset))
        ]
    return 1000 * statistics.median(times)


def waiting_shares(root: Path, options: dict[str, Any]) -> list[float]:
    """Return the share of waiting in the time of the first epoch, and of the second."""
    torch.manual_seed(0)
    data = RadiographDataModule(root=root, num_workers=2, **options)
    data.setup("fit")
    step = PlannedRun(["--model.encoder=resnet18", "--model.num_scales=auto"]).step()
    loader = data.train_dataloader()
    return [waiting_share(loader, step) for _ in ("cold", "warm")]


def waiting_share(loader: ResumableLoader, step: Callable[[dict[str, Any]], None]) -> float:
    """Train for an epoch; return the share of its time spent waiting."""
    worked: list[float] = []

    def epoch() -> None:
        worked.extend(harness.seconds(partial(step, batch)) for batch in loader)

    whole = harness.seconds(epoch)
    return 1 - sum(worked) / whole


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--spacing-mm", type=float, default=0.3,
                       help="pixel size; 0.1 gives up to 4188 px")  # fmt: skip
    flags.add_argument("--pairs", type=int, default=5, help="radiographs of dogs, one validates")
    return flags


def main(options: argparse.Namespace) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    harness.print_heading(f"{options.pairs} dogs of {options.spacing_mm} mm a pixel")
    counts = {"cat": 0, "dog": options.pairs, "turtle": 0}
    columns = ("no cache ms", "cold ms", "warm ms", "waits cold", "waits warm")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        synthesize(root, counts=counts, spacing_mm=options.spacing_mm)
        with harness.table("image size", *columns, names=SETTINGS) as row:
            for name, setting in SETTINGS.items():
                cached = setting | {"cache": Path(folder) / name}
                states = ((setting | {"cache": False}, 0), (cached, 0), (cached, 1))
                times = [f"{sample_ms(root, *state):.1f}" for state in states]
                shares = waiting_shares(root, setting | {"cache": Path(folder) / f"{name} again"})
                row(name, *times, *(f"{share:.1%}" for share in shares))


if __name__ == "__main__":
    main(parser().parse_args())
