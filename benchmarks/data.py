"""Time to load a pair, and the share of a training step spent waiting for it.

    python benchmarks/data.py
    python benchmarks/data.py --side 2000 --pairs 4

Pairs are phantom-like waves in 14-bit DICOM and 16-bit PNG. Per sample, in one process: without a
cache; cold, when the entry is made; warm, in the epochs after that. Then resnet18 trains on this
machine's processor with two workers: the share of the time in which it waits for batches, in the
first epoch, start of the workers included, and in the second.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForProcessing, ExplicitVRLittleEndian

from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.loader import ResumableLoader
from radenhance.dataset.manifest import Pair, write_manifest
from radenhance.enhancer import ContrastEnhancer

SETTINGS = {
    "192": {"image_size": 192},
    "512": {"image_size": 512},
    "1024": {"image_size": 1024},
    "native, crops of 512": {"image_size": "native", "crop_size": 512},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4188)
    parser.add_argument("--pairs", type=int, default=4)
    arguments = parser.parse_args()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    print(f"{arguments.side} x {arguments.side} pixels, {os.cpu_count()} cores\n")
    print("| image size | no cache ms | cold ms | warm ms | waits cold | waits warm |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        make(root, arguments.side, arguments.pairs)
        for name, options in SETTINGS.items():
            print(row(name, root, options), flush=True)


def row(name: str, root: Path, options: dict) -> str:
    loading = [
        1000 * per_sample(root, options | {"cache": choice}, epoch=epoch)
        for choice, epoch in ((False, 0), (root.parent / name, 0), (root.parent / name, 1))
    ]
    waits = waiting(root, options | {"cache": root.parent / f"{name} again"})
    times = " | ".join(f"{ms:.1f}" for ms in loading)
    return f"| {name} | {times} | " + " | ".join(f"{100 * share:.1f} %" for share in waits) + " |"


def per_sample(root: Path, options: dict, epoch: int) -> float:
    """Median seconds per augmented training sample of an epoch, in this process."""
    data = RadiographDataModule(root=root, num_workers=0, **options)
    data.setup("fit")
    dataset = data.train_dataloader().dataset
    for _ in range(epoch + 1):
        seconds = []
        for index in range(len(dataset)):
            start = time.perf_counter()
            dataset[(epoch, index)]
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def waiting(root: Path, options: dict) -> list[float]:
    """Share of the time of an epoch that goes into waiting for batches: the first, the second."""
    torch.manual_seed(0)
    data = RadiographDataModule(root=root, num_workers=2, **options)
    data.setup("fit")
    model = ContrastEnhancer(encoder="resnet18", num_scales="auto")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    loader = data.train_dataloader()
    return [epoch(loader, model, optimizer) for _ in ("cold", "warm")]


def epoch(
    loader: ResumableLoader, model: ContrastEnhancer, optimizer: torch.optim.Optimizer
) -> float:
    """Train for one epoch and return the share of its time spent waiting."""
    start = time.perf_counter()
    worked = 0.0
    for index, batch in enumerate(loader):
        begun = time.perf_counter()
        loss = model.training_step(batch, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        worked += time.perf_counter() - begun
    return 1 - worked / (time.perf_counter() - start)


def make(root: Path, side: int, count: int) -> None:
    """Write `count` pairs that train and one that validates."""
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    for i in range(count + 1):
        random = np.random.default_rng(i)
        image = 8000 + 3000 * np.sin(x / 300 + i) + 3000 * np.sin(y / 170)
        image += random.normal(0, 12, image.shape)
        save_raw(root / f"raw/{i}.dcm", image.astype(np.uint16), i)
        cv2.imwrite(str(root / f"target/{i}.png"), (4 * (16383 - image)).astype(np.uint16))
        split = "train" if i < count else "val"
        pairs.append(Pair(str(i), str(i), f"raw/{i}.dcm", f"target/{i}.png", split))
    write_manifest(root, pairs)


def save_raw(path: Path, pixels: np.ndarray, number: int) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality = DigitalXRayImageStorageForProcessing, "DX"
    dataset.SOPInstanceUID, dataset.PixelIntensityRelationship = f"2.25.{number + 1}", "LIN"
    dataset.add_new("PixelIntensityRelationshipSign", "SS", 1)
    dataset.set_pixel_data(pixels, "MONOCHROME2", 14)
    dataset.save_as(path, enforce_file_format=True)


if __name__ == "__main__":
    main()
