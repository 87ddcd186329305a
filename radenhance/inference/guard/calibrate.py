"""What a network's validation images say about its guard.

The threshold is the least at which outputs that nobody touched have few boxes; the factor is that
with which the intervals cover 90 % of the targets' pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radenhance.arrays import Floats, Image, Mask
from radenhance.datamodule import RadiographDataModule, same_fold
from radenhance.dataset.decoded import decode
from radenhance.dataset.pairs import WHOLE, PairDataset, check_same_shape
from radenhance.dicom.read import read
from radenhance.inference.guard.bands import Differences, differences
from radenhance.inference.guard.guard import Calibration, pixel_mm
from radenhance.inference.guard.intervals import errors, factor, widths
from radenhance.inference.model import NetworkEnhancer
from radenhance.prepare.passed_over import (
    OF_ONE_RADIOGRAPH,
    Failure,
    failure_of_pair,
    refuse_failures,
)

BOXES_PER_IMAGE = 0.8
"""Mean number of boxes on outputs that nobody touched."""
THRESHOLDS = np.arange(0.5, 20.0, 0.125)
OPEN = 127
"""Weight above which a pixel is in the exposed field."""


@dataclass(frozen=True)
class Judged:
    """A validation image.

    Args:
        species: Its species; empty where the manifest does not say it.
        source: The image as the network saw it.
        enhanced: The output.
        target: The target.
        spacing_mm: Pixel size in mm.
        inside: Where the exposed field is; None for everywhere.
    """

    species: str
    source: Image
    enhanced: Image
    target: Image
    spacing_mm: float
    inside: Mask | None

    def differences(self) -> Differences:
        """Return what the source does not explain of the output."""
        return differences(
            self.source, self.enhanced, spacing_mm=self.spacing_mm, inside=self.inside
        )

    def errors(self) -> Floats:
        """Return errors of some pixels in units of their width."""
        width = widths(self.source, self.enhanced, self.spacing_mm)
        return errors(width, self.enhanced, self.target, self.inside)


def calibrate(
    enhancer: NetworkEnhancer, root: Path, passed_over: list[Failure] | None = None
) -> Calibration:
    """Return the calibration of a network's guard.

    Args:
        enhancer: The network.
        root: A dataset, of which the validation images are used.
        passed_over: Where to list images that cannot be read; without it the first one raises.

    Raises:
        RadenhanceError: There is no dataset or no validation image that can be read.
    """
    found: list[Differences] = []
    by_species: dict[str, list[Floats]] = {}
    for image in validation_images(enhancer, root, passed_over):
        found.append(image.differences())
        by_species.setdefault(image.species, []).append(image.errors())
    if not found:
        refuse_failures(passed_over or [], num_done=0, done="used")
    return Calibration(
        checkpoint_sha256=enhancer.sha256,
        threshold=threshold(found),
        factor=factor(some for images in by_species.values() for some in images),
        at=enhancer.at,
        factors={species: factor(images) for species, images in by_species.items() if species},
        num_images={species: len(images) for species, images in by_species.items()},
    )


def validation_images(
    enhancer: NetworkEnhancer, root: Path, passed_over: list[Failure] | None = None
) -> Iterator[Judged]:
    """Yield the validation images of a dataset at the size of their files, one at a time.

    Args:
        enhancer: The network.
        root: The dataset.
        passed_over: Where to list images that cannot be read; without it the first one raises.
    """
    fold = same_fold(root, enhancer.fold)
    data = RadiographDataModule(root, image_size="native", num_workers=0, cache=False, **fold)
    data.setup("validate")
    dataset: PairDataset = data.val_dataloader().dataset  # type: ignore[assignment]
    for index in range(len(dataset)):
        try:
            judged = _judged(enhancer, dataset, index)
        except OF_ONE_RADIOGRAPH as error:
            if passed_over is None:
                raise
            passed_over.append(failure_of_pair(dataset, index, error))
        else:
            yield judged


def _judged(enhancer: NetworkEnhancer, dataset: PairDataset, index: int) -> Judged:
    pair = dataset.pairs[index]
    radiograph = read(dataset.root / pair.raw_path, declaration=dataset.declarations.raw)
    batch = enhancer.batch_of(radiograph)
    target = decode(
        dataset.root / pair.target_path,
        declaration=dataset.declarations.target,
        for_presentation=True,
        image_size="native",
    )
    check_same_shape(pair, radiograph.shape, target.shape)
    return Judged(
        species=pair.species or "",
        source=batch["raw"][0, 0].numpy(),
        enhanced=enhancer.enhance(batch),
        target=target[WHOLE],
        spacing_mm=pixel_mm(radiograph.spacing_mm),
        inside=batch["field"][0, 0].numpy() > OPEN if "field" in batch else None,
    )


def threshold(found: list[Differences], per_image: float = BOXES_PER_IMAGE) -> float:
    """Return the least threshold above which there are no more boxes than `per_image` in the mean.

    Above it there are none more, either: with few boxes a higher threshold does not divide them.
    """
    least = THRESHOLDS[-1]
    for score in THRESHOLDS[::-1]:
        if np.mean([len(image.boxes(score)) for image in found]) > per_image:
            break
        least = score
    return float(least)
