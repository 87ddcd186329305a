"""One tone curve for all images: what can be learned of contrast alone, without a network.

What does not beat a lookup table has learned contrast and nothing of the image.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from radenhance.dataset.field import OPAQUE

NUM_BINS = 256

Images = Mapping[str, Any]
"""raw, perhaps target and field: tensors of one shape, as of a batch or a sample."""

Curve = npt.NDArray[np.float64]
"""Target value at NUM_BINS raw values from 0 to 1, never falling."""


def fitted_curve(pairs: Iterable[Images]) -> Curve:
    """Return the monotone curve with the least squared error from raw images to targets.

    Args:
        pairs: Batches or samples; of their pixels only those in the exposed field count.
    """
    num_pixels, totals = np.zeros(NUM_BINS), np.zeros(NUM_BINS)
    for pair in pairs:
        inside = _field(pair).numpy() == 1
        bins = (pair["raw"].numpy()[inside] * (NUM_BINS - 1)).round().astype(int)
        num_pixels += np.bincount(bins, minlength=NUM_BINS)
        totals += np.bincount(bins, pair["target"].numpy()[inside], minlength=NUM_BINS)
    filled = np.flatnonzero(num_pixels)
    counts = num_pixels[filled]
    curve = isotonic_regression(totals[filled] / counts, weights=counts).x
    values: Curve = np.interp(np.arange(NUM_BINS), filled, curve)
    return values


def toned(images: Images, curve: Curve) -> Tensor:
    """Return raw images through the curve, black outside the field."""
    raw = images["raw"]
    values = np.interp(raw.numpy(), np.linspace(0, 1, NUM_BINS), curve).astype(np.float32)
    return torch.from_numpy(values) * _field(images)


def _field(images: Images) -> Tensor:
    """Return how much of each pixel is in the exposed field, all of it where none is known."""
    field: Tensor | None = images.get("field")
    return torch.ones_like(images["raw"]) if field is None else field / OPAQUE
