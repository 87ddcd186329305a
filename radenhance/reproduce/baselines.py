"""What can be had without a network: the raw image, and one tone curve for all images.

A loss says nothing beside other losses alone: what does not beat the raw image is not worth
running, and what does not beat a lookup table has learned contrast and nothing of the image.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from radenhance import metric_names
from radenhance.datamodule import RadiographDataModule
from radenhance.dataset.field import OPAQUE
from radenhance.enhancer import Batch, measure
from radenhance.files import replace_file
from radenhance.loss.ms_ssim import NUM_SCALES
from radenhance.reproduce.study import Study

RAW, TABLE = "Raw image", "Lookup table"
NUM_BINS = 256

Measures = Mapping[str, float]
"""Name of a measure -> its mean over the validation images; loss is the paper's."""

Curve = npt.NDArray[np.float64]
"""Target value at NUM_BINS raw values from 0 to 1, never falling."""


def baselines(study: Study, size: int) -> dict[str, Measures]:
    """Return what raw images and a lookup table reach on validation, from a file if there is one.

    Raw images are as the network sees them, with what is outside the field black.

    Args:
        study: Study with the dataset.
        size: Shorter side of the images in pixels.
    """
    path = study.out / f"baselines-{size}px.json"
    if not path.exists():
        replace_file(path, json.dumps(_measured(study.data, size), indent=2).encode())
    found: dict[str, Measures] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _measured(root: Path, size: int) -> dict[str, Measures]:
    data = RadiographDataModule(root, image_size=size, augment=False, num_workers=0)
    data.setup("fit")
    curve = fitted_curve(data.train_dataloader())
    found: dict[str, list[dict[str, Tensor]]] = {RAW: [], TABLE: []}
    for batch in data.val_dataloader():
        for name, image in ((RAW, batch["raw"]), (TABLE, toned(batch, curve))):
            found[name].append(measure(image, batch["target"], num_scales=NUM_SCALES))
    return {name: _means(measured) for name, measured in found.items()}


def _means(measured: list[dict[str, Tensor]]) -> Measures:
    return {
        name: float(np.mean([measures[name].mean().item() for measures in measured]))
        for name in measured[0]
    }


def fitted_curve(batches: Iterable[Batch]) -> Curve:
    """Return the monotone curve with the least squared error from raw images to targets.

    Args:
        batches: Pairs; of their pixels only those in the exposed field count.
    """
    num_pixels, totals = np.zeros(NUM_BINS), np.zeros(NUM_BINS)
    for batch in batches:
        inside = _field(batch).numpy() == 1
        bins = (batch["raw"].numpy()[inside] * (NUM_BINS - 1)).round().astype(int)
        num_pixels += np.bincount(bins, minlength=NUM_BINS)
        totals += np.bincount(bins, batch["target"].numpy()[inside], minlength=NUM_BINS)
    filled = np.flatnonzero(num_pixels)
    counts = num_pixels[filled]
    curve = isotonic_regression(totals[filled] / counts, weights=counts).x
    values: Curve = np.interp(np.arange(NUM_BINS), filled, curve)
    return values


def toned(batch: Batch, curve: Curve) -> Tensor:
    """Return the raw images of a batch through the curve, black outside the field."""
    raw = batch["raw"]
    values = np.interp(raw.numpy(), np.linspace(0, 1, NUM_BINS), curve).astype(np.float32)
    return torch.from_numpy(values) * _field(batch)


def _field(batch: Batch) -> Tensor:
    """Return how much of each pixel is in the exposed field, all of it where none is known."""
    field: Tensor | None = batch.get("field")
    return torch.ones_like(batch["raw"]) if field is None else field / OPAQUE


def loss_of(measures: Measures) -> float:
    """Return the paper's loss."""
    return measures[metric_names.LOSS]
