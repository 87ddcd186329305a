"""What a network's validation images say about its guard.

The threshold of an octave is the least at which outputs that nobody touched have few boxes; the
factor is that with which the intervals cover 90 % of the targets' pixels.
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
from radenhance.inference.guard.bands import OCTAVES, Differences, Octave, differences, islands
from radenhance.inference.guard.guard import THRESHOLDS, Calibration, pixel_mm
from radenhance.inference.guard.intervals import errors, factor, widths
from radenhance.inference.model import NetworkEnhancer
from radenhance.prepare.passed_over import (
    OF_ONE_RADIOGRAPH,
    Failure,
    failure_of_pair,
    refuse_failures,
)

BOXES_PER_IMAGE = 0.8
"""Mean number of boxes on outputs that nobody touched, an equal share of it from each octave."""
WORST = 8
"""Boxes of one octave that an output is supposed to have which is worse than all that were seen."""
SCORES = np.geomspace(50, 0.5, 93)
"""Thresholds to choose from."""
MANY_BOXES = 100
"""Boxes of an image, of one octave, that are not counted any further."""
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
    counts: list[dict[int, Floats]] = []
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


def numbers_of_boxes(found: Differences) -> dict[int, Floats]:
    """Return the number of boxes of each octave at each of `SCORES`; infinite below a useful one.

    Below a useful threshold an image has many times as many boxes as are allowed in the mean.
    """
    return {octave.number: _numbers(octave) for octave in found.octaves}


def _numbers(octave: Octave) -> Floats:
    numbers = np.full(len(SCORES), np.inf, np.float32)
    highest = octave.score.max()
    for i, least in enumerate(SCORES):
        numbers[i] = islands(octave.score > least, octave.number)[0] - 1 if least < highest else 0
        if numbers[i] > MANY_BOXES:
            break
    return numbers


def thresholds(counts: list[dict[int, Floats]], per_image: float = BOXES_PER_IMAGE) -> list[float]:
    """Return the least threshold of each octave that leaves its share of `per_image` in the mean.

    A further image counts with them, one that is worse (conformal risk control, arXiv 2208.02814).
    Where they are too few for that, a threshold is above all that they have and at least that of a
    network without a calibration.

    Args:
        counts: What `numbers_of_boxes` returned of each image.
        per_image: Mean number of boxes of all octaves.
    """
    found = list(THRESHOLDS)
    for number in range(OCTAVES):
        of_images = [image[number] for image in counts if number in image]
        allowed = per_image / OCTAVES * (len(of_images) + 1) - WORST
        if of_images:
            score = _least(np.sum(of_images, axis=0), max(allowed, 0))
            found[number] = score if allowed >= 0 else max(score, found[number])
    return found


def _least(numbers: Floats, allowed: float) -> float:
    """Return the least of `SCORES` from which on there are no more boxes than are allowed."""
    too_many = numbers > allowed
    first = int(too_many.argmax()) if too_many.any() else len(SCORES)
    return float(SCORES[max(first - 1, 0)])
