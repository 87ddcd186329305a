"""Claim: training on whole radiographs at native size beats tiles and reduced images.

    python benchmarks/whole_images.py
    python benchmarks/whole_images.py OUT --spacing-mm 0.36 --dogs 110 --least 1000 --side 192
        --epochs 12 --steps 16 --tile-steps 32 --seeds 0,2

Three networks (ResNet-18, a correction, 0.16 of absolute error, black outside the field): of
radiographs reduced to a side; of tiles of that side; and of whole radiographs at native size, one a
step, in bands, which begins with the enlarged correction of the first (--model.coarse). A step of
the last two is of as many pixels. All are validated on whole radiographs at native size, beside the
raw ones.

Printed are means over the validation set: MS-SSIM; PSNR; detail, the power of the finest level of a
pyramid, and of the next, over the target's; and seams, the mean step of the error across the
borders of tiles over that between all neighbours, 1 where there are none. With several seeds, which
decide on weights, order and augmentation, follow the standard deviation over them, and by how much
whole images lead, seed by seed. In OUT stay networks and measures, which are not made again, and
whole_images.png; several processes with a seed each may share it once the radiographs are there.
The first command shows only that it runs, in a minute or two on two cores; the second takes about
half an hour on two.
"""

import argparse
import json
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
from radenhance.dataset.field import OPAQUE
from radenhance.dataset.manifest import read_manifest, write_manifest
from radenhance.enhancer import ContrastEnhancer
from radenhance.loss.ms_ssim import ms_ssim
from radenhance.prepare.synthesize import synthesize

WHOLE, TILES, REDUCED = "whole images", "tiles", "reduced images"
MEASURES = ("MS-SSIM", "PSNR, dB", "detail", "detail, next", "seams")
Enhance = Callable[[Tensor], Tensor]
Images = dict[str, np.ndarray]


def make_dataset(root: Path, options: argparse.Namespace) -> None:
    """Make radiographs of dogs; leave out of the list smaller ones, and some that validate."""
    if root.exists():
        return
    counts = {"cat": 0, "dog": options.dogs, "turtle": 0}
    synthesize(root, counts=counts, spacing_mm=options.spacing_mm)
    pairs = [p for p in read_manifest(root) if min(p.rows or 0, p.cols or 0) >= options.least]
    val = [pair for pair in pairs if pair.split == "val"]
    write_manifest(root, [pair for pair in pairs if pair not in val[options.val :]])


def train(name: str, root: Path, out: Path, seed: int, options: argparse.Namespace) -> Checkpoint:
    """Run the fit, unless it is done, and return what it left."""
    folder = out / f"seed{seed}" / name.replace(" ", "_")
    if not any(folder.rglob("last.ckpt")):
        flags = {
            "--seed_everything": seed,
            "--data.root": root.resolve(),
            "--data.cache": (out / "cache").resolve(),
            "--data.num_workers": 0,
            "--model.encoder": "resnet18",
            "--model.num_scales": "auto",
            "--model.output": "correction",
            "--model.l1_share": 0.16,
            "--model.optimizer": "torch.optim.Adam",
            "--trainer.limit_val_batches": 0,
        }
        harness.fit(flags | flags_of(name, root, folder.parent, options), folder)
    (checkpoint,) = folder.rglob("last.ckpt")
    return Checkpoint.open(checkpoint)


def flags_of(name: str, root: Path, out: Path, options: argparse.Namespace) -> dict[str, object]:
    """Return what the three runs differ in."""
    steps = {"--trainer.max_steps": options.steps, "--trainer.max_epochs": -1}
    if name == REDUCED:
        return {
            "--data.image_size": options.side,
            "--data.batch_size": 4,
            "--model.optimizer.lr": 0.002,
            "--trainer.max_epochs": options.epochs,
        }
    if name == WHOLE:
        (coarse,) = (out / REDUCED.replace(" ", "_")).rglob("last.ckpt")
        return steps | {
            "--data.image_size": "native",
            "--model.coarse": coarse.resolve(),
            "--model.memory.band_rows": "auto",
        }
    pairs = [pair for pair in read_manifest(root) if pair.split == "train"]
    areas = [pair.rows * pair.cols for pair in pairs if pair.rows and pair.cols]
    num = min(len(pairs), round(sum(areas) / len(areas) / options.side**2))
    return steps | {
        "--data.image_size": "native",
        "--data.crop_size": options.side,
        "--data.batch_size": num,
        "--trainer.max_steps": options.tile_steps,
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
    """Enhance an image whose shorter side is reduced to `side`, and enlarge the result."""
    size = [round(length * side / min(raw.shape[2:])) for length in raw.shape[2:]]
    reduced = F.interpolate(raw, size, mode="area")
    return F.interpolate(network(reduced), raw.shape[2:], mode="bicubic")


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


def measure(enhanced: Tensor, target: Tensor, side: int) -> list[float]:
    """Return MEASURES of an image."""
    psnr = peak_signal_noise_ratio(enhanced, target, data_range=1.0)
    detail = harness.fine_power(enhanced[0, 0].numpy(), target[0, 0].numpy())
    similarity = ms_ssim(enhanced, target, num_scales="auto")
    return [similarity.item(), psnr.item(), *detail, seams(enhanced - target, side)]


def ways(networks: Mapping[str, ContrastEnhancer], side: int) -> dict[str, Enhance]:
    """Return the ways to an enhanced image that are compared, the first of them that claimed."""
    coarse = networks[WHOLE].coarse
    assert coarse is not None
    return {
        WHOLE: networks[WHOLE],
        "tiles, tile by tile": partial(in_tiles, networks[TILES], side),
        "tiles, then whole": networks[TILES],
        "reduced, output enlarged": partial(at_reduced_size, networks[REDUCED], side),
        "reduced, correction enlarged": lambda raw: raw + coarse(raw),
        "none (raw, field black)": lambda raw: raw,
    }


@torch.inference_mode()
def evaluate(
    networks: Mapping[str, ContrastEnhancer], root: Path, side: int
) -> tuple[dict[str, list[float]], Images]:
    """Return the mean measures of each way, and the images of the largest radiograph."""
    settings = {"image_size": "native", "outside_field": "black"}
    data = RadiographDataModule(root, num_workers=0, **settings)  # type: ignore[arg-type]
    data.setup("validate")
    compared = ways(networks, side)
    measures: dict[str, list[list[float]]] = {name: [] for name in compared}
    largest: Images = {}
    for batch in data.val_dataloader():
        shown = {"raw": batch["raw"], "target": batch["target"]}
        for name, enhance in compared.items():
            enhanced = (enhance(batch["raw"]) * batch["field"] / OPAQUE).clamp(0, 1)
            measures[name].append(measure(enhanced, batch["target"], side))
            shown[name] = enhanced
        if not largest or batch["raw"].numel() > largest["raw"].size:
            largest = {name: image[0, 0].numpy() for name, image in shown.items()}
    return {name: np.mean(rows, axis=0).tolist() for name, rows in measures.items()}, largest


def write_picture(path: Path, images: Images, side: int) -> None:
    """Write one radiograph whole, and a square of it where four tiles meet."""
    shape = images["raw"].shape
    top, left = (length // 2 // side * side - TILE // 4 for length in shape)
    square = (slice(top, top + TILE // 2), slice(left, left + TILE // 2))
    squares = [image[square].repeat(2, 0).repeat(2, 1) for image in images.values()]
    title = f"{TILE // 2} px of it around a corner of four tiles"
    whole = Row("whole radiograph", list(images.values()), list(images))
    write_contact_sheet(path, [whole, Row(title, squares, list(images))])


def measured(root: Path, out: Path, seed: int, options: argparse.Namespace) -> np.ndarray:
    """Return the measures of a seed, one row for each way; trained and evaluated but once."""
    file = out / f"seed{seed}" / "measures.json"
    if not file.exists():
        checkpoints = {n: train(n, root, out, seed, options) for n in (REDUCED, TILES, WHOLE)}
        networks = {n: ContrastEnhancer.from_checkpoint(c).eval() for n, c in checkpoints.items()}
        means, largest = evaluate(networks, root, options.side)
        write_picture(out / "whole_images.png", largest, options.side)
        file.write_text(json.dumps(means))
    return np.array(list(json.loads(file.read_text()).values()))


def spread(values: np.ndarray, digits: int) -> str:
    """Return mean and standard deviation over seeds."""
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def compare(out: Path, options: argparse.Namespace) -> None:
    root = out / "radiographs"
    make_dataset(root, options)
    smallest = min(min(p.rows or 0, p.cols or 0) for p in read_manifest(root))
    if smallest < options.side:
        sys.exit(f"the smallest side is {smallest} px, a tile's is {options.side}: lower --side")
    seeds = [measured(root, out, seed, options) for seed in options.seeds]
    values = np.stack(seeds, axis=-1)  # way, measure, seed
    names = list(json.loads((out / f"seed{options.seeds[0]}" / "measures.json").read_text()))
    digits = (4, 2, 2, 2, 2)
    with harness.table("trained on", *MEASURES, names=names) as row:
        for name, of_way in zip(names, values, strict=True):
            row(name, *map(spread, of_way, digits))
    with harness.table("whole images lead", *MEASURES[:2], "seeds", names=names) as row:
        for name, of_way in zip(names[1:], values[1:], strict=True):
            lead = (values[0] - of_way)[:2]
            ahead = f"{(lead > 0).all(axis=0).sum()} of {len(options.seeds)}"
            row(name, *map(spread, lead, digits[:2]), ahead)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    add = flags.add_argument
    add("out", type=Path, nargs="?", help="folder to keep; a temporary one if none")
    add("--spacing-mm", type=float, default=1.0, help="pixel size in millimetres")
    add("--dogs", type=int, default=20, help="number of radiographs made")
    add("--least", type=int, default=96, help="shorter side of those used, at least, in pixels")
    add("--val", type=int, default=4, help="number of those that validate, at most")
    add("--side", type=int, default=96, help="side of tiles and reduced images in pixels")
    add("--epochs", type=int, default=2, help="epochs on reduced images")
    add("--steps", type=int, default=6, help="training steps on whole images")
    add("--tile-steps", type=int, default=6, help="training steps on tiles, of as many pixels each")
    add("--seeds", type=harness.listed_numbers, default=[0], help="seeds, separated by commas")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(
        f"resnet18, {options.spacing_mm} mm a pixel, tiles of {options.side} px, "
        f"{options.epochs} epochs on reduced images, {options.steps} steps on whole "
        f"ones, {options.tile_steps} on tiles"
    )
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        compare(out, options)


if __name__ == "__main__":
    main(parser().parse_args())
