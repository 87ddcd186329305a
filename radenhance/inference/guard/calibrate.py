"""What a network's validation images say about its guard.

Thresholds are the least at which outputs that nobody touched have few boxes, those of all octaves
in a fixed proportion, because a difference that shows in several octaves is one box; the factor is
that with which the intervals cover 90 % of the targets' pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radenhance.arrays import Floats, Image, Mask
from radenhance.datamodule import RadiographDataModule, same_fold
from radenhance.dataset.decoded import decode
from radenhance.dataset.pairs import WHOLE, PairDataset, check_same_shape
from radenhance.dicom.read import read
from radenhance.inference.guard.bands import Differences, differences
from radenhance.inference.guard.guard import THRESHOLDS, Calibration, pixel_mm
from radenhance.inference.guard.intervals import errors, factor, widths
from radenhance.inference.model import NetworkEnhancer
from radenhance.prepare.passed_over import (
    OF_ONE_RADIOGRAPH,
    Failure,
    failure_of_pair,
    refuse_failures,
)

BOXES_PER_IMAGE = 0.9
"""Mean number of boxes on outputs that nobody touched."""
WORST = 8
"""Boxes that an output is supposed to have which is worse than all that were seen."""
TIMES = np.geomspace(12, 0.3, 125).astype(np.float32)
"""Multiples of `THRESHOLDS` to choose from."""
MANY_BOXES = 100
"""Boxes of an image that are not counted any further: many times as many as are allowed."""
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
    counts: list[Floats] = []
    by_species: dict[str, list[Floats]] = {}
    for image in validation_images(enhancer, root, passed_over):
        counts.append(numbers_of_boxes(image.differences()))
        by_species.setdefault(image.species, []).append(image.errors())
    if not counts:
        refuse_failures(passed_over or [], num_done=0, done="used")
    return Calibration(
        checkpoint_sha256=enhancer.sha256,
        thresholds=thresholds(counts),
        factor=factor(some for errors in by_species.values() for some in errors),
        at=enhancer.at,
        factors={species: factor(some) for species, some in by_species.items() if species},
        num_images={species: len(some) for species, some in by_species.items()},
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


def numbers_of_boxes(found: Differences) -> Floats:
    """Return the number of boxes at each of `TIMES`; infinite below a useful one."""
    return found.numbers(THRESHOLDS, TIMES, most=MANY_BOXES)


def thresholds(counts: Sequence[Floats], per_image: float = BOXES_PER_IMAGE) -> list[float]:
    """Return the least multiple of `THRESHOLDS` that leaves `per_image` boxes in the mean.

    A further image counts with them, one that is worse (conformal risk control, arXiv 2208.02814).
    Where they are too few for that, thresholds are above all that they have and at least those of
    a network without a calibration.

    Args:
        counts: What `numbers_of_boxes` returned of each image.
        per_image: Mean number of boxes.
    """
    allowed = per_image * (len(counts) + 1) - WORST
    too_many = np.sum(counts, axis=0) > max(allowed, 0)
    first = int(too_many.argmax()) if too_many.any() else len(TIMES)
    times = float(TIMES[max(first - 1, 0)])
    return [score * (times if allowed >= 0 else max(times, 1.0)) for score in THRESHOLDS]
