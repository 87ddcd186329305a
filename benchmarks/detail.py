"""Claim: the network of quickstart.yaml leaves side markers readable.

    python benchmarks/detail.py
    python benchmarks/detail.py OUT --full

Phantoms know where their lead letter is. Printed for each validation radiograph are the correlation
of the enhanced image with the raw one in the box of its marker, and the power of the enhanced image
in each of the two finest levels of a Laplacian pyramid over that of the target: 1 where no fine
structure is lost, less where it is blurred. Explained is the part of the target's power in the
finest level that the enhanced image, or the raw one, explains, R squared; a mean of all likely
images, which is what a loss of differences asks for, has about that much power. The first command
trains on few images and shows only that it runs, in about a minute; the second takes about five
minutes on two cores.
"""

import argparse
import tempfile
from pathlib import Path

import harness
import numpy as np
import torch

from radenhance.arrays import Image
from radenhance.datamodule import RadiographDataModule
from radenhance.enhancer import ContrastEnhancer
from radenhance.phantoms.radiograph import phantom, plan_animals
from radenhance.prepare.synthesize import PAPER_COUNTS
from radenhance.reference_enhancer.pyramid import decompose

READABLE = 0.95
"""Least correlation of a marker with that of the raw image."""
KEPT = 0.9
"""Least power over that of the target where fine structure is not lost."""

Box = tuple[slice, slice]


def scaled(box: Box, shape: tuple[int, ...], to: tuple[int, ...]) -> Box:
    """Return the rows and columns of a box in an image of another size.

    Args:
        box: Rows and columns in the image of size `shape`.
        shape: Rows and columns of that image.
        to: Rows and columns of the other image.
    """
    rows, columns = (
        slice(int(part.start * new / old), -int(-part.stop * new // old))
        for part, old, new in zip(box, shape, to, strict=True)
    )
    return rows, columns


def correlation(image: Image, other: Image) -> float:
    """Return the correlation of two images of one size, in [-1, 1]."""
    return float(np.corrcoef(image.ravel(), other.ravel())[0, 1])


def explained(image: Image, target: Image) -> float:
    """Return the part of the power in the target's finest level that an image explains."""
    return correlation(decompose(image, 1)[0], decompose(target, 1)[0]) ** 2


@torch.inference_mode()
def measure(network: ContrastEnhancer, root: Path, counts: dict[str, int]) -> None:
    data = RadiographDataModule(root, image_size=192, num_workers=0)
    data.setup("validate")
    animals = plan_animals(counts["cat"], counts["dog"], counts["turtle"])
    dataset = data.val_dataloader().dataset
    pairs = dataset.pairs  # type: ignore[attr-defined]
    names = [pair.case_id for pair in pairs]
    columns = ("marker", "marker, target", "power, finest", "power, next", "explained", "by raw")
    results = []
    with harness.table("radiograph", *columns, names=[*names, "lowest"]) as row:
        for i, name in enumerate(names):
            sample = dataset[i]
            made = phantom(animals[int(name[-3:])], spacing_mm=pairs[i].pixel_spacing_mm)
            enhanced = network.enhanced(
                {key: sample[key][None] for key in ("raw", "field") if key in sample}
            )
            image = enhanced.clamp(0, 1)[0, 0].numpy()
            raw, target = (sample[key][0].numpy() for key in ("raw", "target"))
            box = scaled(made.marker, made.stored.shape, raw.shape)
            markers = [correlation(shown[box], raw[box]) for shown in (image, target)]
            shares = [explained(shown, target) for shown in (image, raw)]
            results.append([*markers, *harness.fine_power(image, target), *shares])
            row(name, *(f"{value:.3f}" for value in results[-1]))
        for name, of in (("mean", np.mean), ("lowest", np.min)):
            row(name, *(f"{value:.3f}" for value in of(results, axis=0)))
    markers, _, *power, _, _ = np.array(results).T
    print(
        f"markers readable (correlation of {READABLE} or more): {sum(markers >= READABLE)} of "
        f"{len(names)}; power of {KEPT} or more in the finest level: {sum(power[0] >= KEPT)}, in "
        f"the next: {sum(power[1] >= KEPT)}"
    )


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("out", type=Path, nargs="?", help="folder to keep; a temporary one if none")
    flags.add_argument("--full", action="store_true", help="train as quickstart.yaml says")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading("quickstart.yaml: resnet18, 192 px, validation radiographs")
    with tempfile.TemporaryDirectory() as temporary:
        network, root = harness.quickstart(options.out or Path(temporary), full=options.full)
        measure(network, root, PAPER_COUNTS if options.full else harness.FEW)


if __name__ == "__main__":
    main(parser().parse_args())
