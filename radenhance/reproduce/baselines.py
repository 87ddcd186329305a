"""What can be had without a network: the raw image, and one tone curve for all images.

A loss says nothing beside other losses alone: what does not beat the raw image is not worth
running, and what does not beat a lookup table has learned contrast and nothing of the image.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from radenhance import metric_names
from radenhance.datamodule import RadiographDataModule
from radenhance.enhancer import measure
from radenhance.files import replace_file
from radenhance.inference.lookup_table import fitted_curve, toned
from radenhance.loss.ms_ssim import NUM_SCALES
from radenhance.reproduce.study import Study

RAW, TABLE = "Raw image", "Lookup table"

Measures = Mapping[str, float]
"""Name of a measure -> its mean over the validation images; loss is the paper's."""


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


def loss_of(measures: Measures) -> float:
    """Return the paper's loss."""
    return measures[metric_names.LOSS]
