"""Claim: a network that trains on whole radiographs enhances them better than one that saw tiles.

    python benchmarks/whole_images.py
    python benchmarks/whole_images.py OUT --spacing-mm 0.4 --side 192 --steps 120

Three networks (ResNet-18, Adam, half a cosine) see about as many pixels in as many steps: whole
radiographs at native size, one a step, in bands; square tiles of them; and radiographs reduced to
the side of a tile; of both as many a step as make up a whole one. All are validated on whole
radiographs at native size; that of the tiles also tile by tile, as what does not fit on a card is
enhanced, and that of the reduced ones also on reduced images that are upsampled again. Printed are
means over the validation set of MS-SSIM and PSNR, and the seams: the mean step of the error across
the borders of tiles over that between all neighbours, 1 where there are none. In OUT stay the
networks, which are not trained again, and whole_images.png: the largest radiograph of the
validation set, and a square of it. The first command shows only that it runs, in about three
minutes on two cores; the second takes about 20.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import harness
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from radenhance.checkpoint import Checkpoint
from radenhance.contact_sheet import TILE, Row, write_contact_sheet
from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.manifest import read_manifest
from radenhance.enhancer import ContrastEnhancer
from radenhance.loss.ms_ssim import ms_ssim
from radenhance.prepare.synthesize import synthesize

ANIMALS = {"cat": 8, "dog": 26, "turtle": 0}
WHOLE, TILES, REDUCED = "whole images", "tiles", "reduced images"
Enhance = Callable[[Tensor], Tensor]


def train(name: str, root: Path, out: Path, side: int, steps: int) -> ContrastEnhancer:
    """Run the fit, unless it is done, and return the trained network."""
    folder = out / name.replace(" ", "_")
    if not any(folder.rglob("last.ckpt")):
        flags = {
            "--data.root": root.resolve(),
            "--data.cache": (out / "cache").resolve(),
            "--model.encoder": "resnet18",
            "--model.num_scales": "auto",
            "--trainer.max_steps": steps,
            "--trainer.max_epochs": -1,
            "--trainer.limit_val_batches": 0,
        }
        harness.fit(flags | flags_of(name, root, side), folder)
    (checkpoint,) = folder.rglob("last.ckpt")
    return ContrastEnhancer.from_checkpoint(Checkpoint.open(checkpoint)).eval()


KEEP: dict[str, object] = {"--data.outside_field": "keep"}
"""A tile does not know the field of its image."""


def flags_of(name: str, root: Path, side: int) -> dict[str, object]:
    """Return what the three runs differ in."""
    if name == WHOLE:
        one = {"--data.image_size": "native", "--data.batch_size": 1}
        return KEEP | one | {"--model.memory.band_rows": "auto"}
    pairs = [pair for pair in read_manifest(root) if pair.split == "train"]
    areas = [pair.rows * pair.cols for pair in pairs if pair.rows and pair.cols]
    return KEEP | {
        "--data.image_size": "native" if name == TILES else side,
        "--data.crop_size": side,
        "--data.batch_size": min(len(pairs), round(sum(areas) / len(areas) / side**2)),
    }


def in_tiles(network: Enhance, side: int, raw: Tensor) -> Tensor:
    """Enhance tile by tile; the last ones of a row or column overlap."""
    result = torch.empty_like(raw)
    for top in range(0, raw.shape[2], side):
        for left in range(0, raw.shape[3], side):
            row, column = min(top, raw.shape[2] - side), min(left, raw.shape[3] - side)
            tile = (..., slice(row, row + side), slice(column, column + side))
            result[tile] = network(raw[tile])
    return result


def at_reduced_size(network: Enhance, side: int, raw: Tensor) -> Tensor:
    """Enhance an image whose shorter side is reduced to `side`, and upsample the result."""
    size = [round(length * side / min(raw.shape[2:])) for length in raw.shape[2:]]
    reduced = F.interpolate(raw, size, mode="area")
    return F.interpolate(network(reduced), raw.shape[2:], mode="bilinear")


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
    networks: Mapping[str, Enhance], root: Path, side: int
) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Return the mean measures of each network, and the images of every radiograph."""
    data = RadiographDataModule(root, image_size="native", outside_field="keep", num_workers=0)
    data.setup("validate")
    measures: dict[str, list[list[float]]] = {name: [] for name in networks}
    images = []
    for batch in data.val_dataloader():
        raw, target = batch["raw"], batch["target"]
        shown = {"raw": raw, "target": target}
        for name, enhance in networks.items():
            shown[name] = enhanced = enhance(raw).clamp(0, 1)
            psnr = peak_signal_noise_ratio(enhanced, target, data_range=1.0)
            similarity = ms_ssim(enhanced, target, num_scales="auto")
            measures[name].append([similarity.item(), psnr.item(), seams(enhanced - target, side)])
        images.append({name: image[0, 0].numpy() for name, image in shown.items()})
    return {name: np.mean(rows, axis=0) for name, rows in measures.items()}, images


def write_picture(path: Path, images: Mapping[str, np.ndarray], side: int) -> None:
    """Write one radiograph whole, and a square of it where four tiles meet."""
    shape = images["raw"].shape
    top, left = (length // 2 // side * side - TILE // 4 for length in shape)
    square = (slice(top, top + TILE // 2), slice(left, left + TILE // 2))
    squares = [image[square].repeat(2, 0).repeat(2, 1) for image in images.values()]
    title = f"{TILE // 2} px of it around a corner of four tiles"
    whole = Row("whole radiograph", list(images.values()), list(images))
    write_contact_sheet(path, [whole, Row(title, squares, list(images))])


def compare(out: Path, spacing_mm: float, side: int, steps: int) -> None:
    root = out / "radiographs"
    if not root.exists():
        synthesize(root, counts=ANIMALS, spacing_mm=spacing_mm)
    smallest = min(min(pair.rows or side, pair.cols or side) for pair in read_manifest(root))
    if smallest < side:
        sys.exit(f"the smallest side is {smallest} px, a tile's is {side}; use a smaller --side")
    whole, tiles, reduced = (
        train(name, root, out, side, steps) for name in (WHOLE, TILES, REDUCED)
    )
    networks: dict[str, Enhance] = {
        WHOLE: whole,
        TILES: tiles,
        "tiles, tile by tile": partial(in_tiles, tiles, side),
        REDUCED: reduced,
        "reduced, upsampled": partial(at_reduced_size, reduced, side),
    }
    means, images = evaluate(networks, root, side)
    with harness.table("trained on", "MS-SSIM", "PSNR, dB", "seams", names=networks) as row:
        for name, (similarity, psnr, seam) in means.items():
            row(name, f"{similarity:.4f}", f"{psnr:.2f}", f"{seam:.2f}")
    largest = max(images, key=lambda shown: shown["raw"].size)
    write_picture(out / "whole_images.png", largest, side)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("out", type=Path, nargs="?", help="folder to keep; a temporary one if none")
    flags.add_argument("--spacing-mm", type=float, default=0.8, help="pixel size in millimetres")
    flags.add_argument("--side", type=int, default=96, help="side of tiles in pixels")
    flags.add_argument("--steps", type=int, default=12, help="training steps of each network")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(
        f"resnet18, {options.spacing_mm} mm a pixel, tiles of {options.side} px, "
        f"{options.steps} steps"
    )
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        compare(out, options.spacing_mm, options.side, options.steps)


if __name__ == "__main__":
    main(parser().parse_args())
