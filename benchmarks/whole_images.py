"""Whole images against tiles and against reduced images: what a network learns from each.

    python benchmarks/whole_images.py OUT [--spacing-mm 0.4] [--side 192] [--steps 120]

Three networks (ResNet-18, Adam, half a cosine) see about as many pixels in as many steps: whole
radiographs at native size, one a step, in bands; square tiles of them; and radiographs reduced to
the side of a tile; of both as many a step as make up a whole one. All are validated on whole
radiographs at native size; that of the tiles also tile by tile, as what does not fit on a card is
enhanced, and that of the reduced ones also on reduced images that are enlarged again. Given are
means over the validation set of MS-SSIM and PSNR, and the seams: the mean step of the error across
the borders of tiles over that between all neighbours, 1 where there are none.
OUT/whole_images.png shows the largest radiograph of the validation set, and a square of it at
native size.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from radenhance.contact_sheet import TILE, Row, write_contact_sheet
from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.manifest import read_manifest
from radenhance.enhancer import ContrastEnhancer
from radenhance.loss.ms_ssim import ms_ssim
from radenhance.prepare.synthesize import synthesize

ANIMALS = {"cat": 8, "dog": 26, "turtle": 0}
WHOLE, TILES, REDUCED = "whole images", "tiles", "reduced images"
Enhance = Callable[[Tensor], Tensor]


def train(name: str, root: Path, out: Path, options: argparse.Namespace) -> ContrastEnhancer:
    """Run the fit, unless that is done, and return the trained network."""
    checkpoint = out / f"{name.replace(' ', '_')}.ckpt"
    if not checkpoint.exists():
        flags = {
            "--data.root": root.resolve(),
            "--data.cache": (out / "cache").resolve(),
            "--model.encoder": "resnet18",
            "--model.num_scales": "auto",
            "--trainer.max_steps": options.steps,
            "--trainer.max_epochs": -1,
            "--trainer.limit_val_batches": 0,
            "--trainer.accelerator": "cpu",
            "--trainer.default_root_dir": (out / name.replace(" ", "_")).resolve(),
            **flags_of(name, root, options.side),
        }
        words = [f"{key}={value}" for key, value in flags.items()]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "radenhance", "fit", *words]
        with (out / f"{name.replace(' ', '_')}.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
        newest = max((out / name.replace(" ", "_")).rglob("*.ckpt"), key=os.path.getmtime)
        newest.rename(checkpoint)
    return ContrastEnhancer.load_from_checkpoint(checkpoint, map_location="cpu").eval()


def flags_of(name: str, root: Path, side: int) -> Mapping[str, object]:
    """Return what the three runs differ in."""
    if name == WHOLE:
        return {
            "--data.image_size": "native",
            "--data.batch_size": 1,
            "--model.memory.band_rows": "auto",
        }
    pairs = [pair for pair in read_manifest(root) if pair.split == "train"]
    areas = [pair.rows * pair.cols for pair in pairs if pair.rows and pair.cols]
    per_step = min(len(pairs), round(sum(areas) / len(areas) / side**2))
    image_size = "native" if name == TILES else side
    return {
        "--data.image_size": image_size,
        "--data.crop_size": side,
        "--data.batch_size": per_step,
    }


def in_tiles(network: Enhance, side: int) -> Enhance:
    """Return what enhances tile by tile; the last ones of a row or column overlap."""

    def enhance(raw: Tensor) -> Tensor:
        result = torch.empty_like(raw)
        for top in range(0, raw.shape[2], side):
            for left in range(0, raw.shape[3], side):
                row, column = min(top, raw.shape[2] - side), min(left, raw.shape[3] - side)
                rows, columns = slice(row, row + side), slice(column, column + side)
                result[:, :, rows, columns] = network(raw[:, :, rows, columns])
        return result

    return enhance


def at_reduced_size(network: Enhance, side: int) -> Enhance:
    """Return what enhances an image whose shorter side is reduced to `side`, and enlarges it."""

    def enhance(raw: Tensor) -> Tensor:
        size = [round(length * side / min(raw.shape[2:])) for length in raw.shape[2:]]
        reduced = F.interpolate(raw, size, mode="area")
        return F.interpolate(network(reduced), raw.shape[2:], mode="bilinear")

    return enhance


def seams(error: Tensor, side: int) -> float:
    """Return the mean step of an error across borders of tiles over that between all neighbours."""
    across, everywhere = [], []
    for dim in (2, 3):
        steps = error.diff(dim=dim).abs()
        length = error.shape[dim]
        borders = list(range(side - 1, length - 1, side))
        if length % side:  # the last tile overlaps, and hides the border before it
            borders[-1] = length - side - 1
        across.append(steps.index_select(dim, torch.tensor(borders)).mean())
        everywhere.append(steps.mean())
    return float(sum(across) / sum(everywhere))


@torch.inference_mode()
def evaluate(
    networks: Mapping[str, Enhance], data: RadiographDataModule, side: int
) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Return the mean measures of each network, and the images of every radiograph."""
    measures: dict[str, list[list[float]]] = {name: [] for name in networks}
    images = []
    for batch in data.val_dataloader():
        raw, target = batch["raw"], batch["target"]
        shown = {"raw": raw, "target": target}
        for name, enhance in networks.items():
            enhanced = enhance(raw).clamp(0, 1)
            psnr = peak_signal_noise_ratio(enhanced, target, data_range=1.0)
            similarity = ms_ssim(enhanced, target, num_scales="auto")
            figures = [similarity.item(), psnr.item(), seams(enhanced - target, side)]
            measures[name].append(figures)
            shown[name] = enhanced
        images.append({name: image[0, 0].numpy() for name, image in shown.items()})
    return {name: np.mean(rows, axis=0) for name, rows in measures.items()}, images


def write_picture(path: Path, images: Mapping[str, np.ndarray], side: int) -> None:
    """Write one radiograph whole, and a square of it where four tiles meet."""
    rows, columns = images["raw"].shape
    top, left = (length // 2 // side * side - TILE // 4 for length in (rows, columns))
    square = (slice(top, top + TILE // 2), slice(left, left + TILE // 2))
    captions = list(images)
    write_contact_sheet(
        path,
        [
            Row("whole radiograph", list(images.values()), captions),
            Row(
                f"{TILE // 2} px of it around a corner of four tiles",
                [image[square].repeat(2, 0).repeat(2, 1) for image in images.values()],
                captions,
            ),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--spacing-mm", type=float, default=0.4)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    root = options.out / "radiographs"
    if not root.exists():
        synthesize(root, counts=ANIMALS, spacing_mm=options.spacing_mm)
    trained = {name: train(name, root, options.out, options) for name in (WHOLE, TILES, REDUCED)}
    side = options.side
    networks: dict[str, Enhance] = {
        WHOLE: trained[WHOLE],
        TILES: trained[TILES],
        "tiles, tile by tile": in_tiles(trained[TILES], side),
        REDUCED: trained[REDUCED],
        "reduced, enlarged": at_reduced_size(trained[REDUCED], side),
    }
    data = RadiographDataModule(root, image_size="native", num_workers=0)
    data.setup("validate")
    means, images = evaluate(networks, data, side)
    print(
        f"torch {torch.__version__}, resnet18, {options.spacing_mm} mm a pixel, tiles of {side} px,"
        f" {options.steps} steps, {len(images)} validation images\n"
    )
    print("| trained on | MS-SSIM | PSNR, dB | seams |\n|---|---:|---:|---:|")
    for name, (similarity, psnr, seam) in means.items():
        print(f"| {name} | {similarity:.4f} | {psnr:.2f} | {seam:.2f} |")
    largest = max(images, key=lambda shown: shown["raw"].size)
    write_picture(options.out / "whole_images.png", largest, side)


if __name__ == "__main__":
    main()
