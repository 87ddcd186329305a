"""Whether targets are black where nothing was exposed, and the network's images with them.

What lies behind the collimator is noise and scatter, of which nobody can learn what a shutter makes
of it: a network that has to blacken it draws frames and rings. Where the targets are black there,
the network's input and output are blackened as well, and what is left to learn is the patient.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image
from radenhance.dataset.decoded import Decoded
from radenhance.dataset.field import OPAQUE, FieldWeights

OutsideField = Literal["black", "keep"]

BLACK = 0.02
"""Brightest value of black, of [0, 1]; a display shows no less."""

MEASURED_SIDE = 256
"""Rows or columns, about and at least, that are looked at along the shorter side of an image."""

FRACTION = 0.9
"""Of what is outside, and of the pairs that have an outside: how much has to be black."""


def is_black_outside(weights: FieldWeights, target: Decoded | Image) -> bool | None:
    """Return whether a target is black outside the field of its raw image; None if it has no field.

    Args:
        weights: The field of the raw image.
        target: The target, as shown, of the same size.
    """
    step = slice(None, None, max(min(weights.shape) // MEASURED_SIDE, 1))
    outside = target[step, step][weights[step, step] == 0]
    return bool(np.mean(outside <= BLACK) >= FRACTION) if outside.size else None


def common_rule(verdicts: Iterable[bool | None]) -> OutsideField | None:
    """Return what holds for a dataset; None where no raw image of it has a field.

    Args:
        verdicts: What `is_black_outside` says of some pairs.
    """
    known = [verdict for verdict in verdicts if verdict is not None]
    if not known:
        return None
    return "black" if np.mean(known) >= FRACTION else "keep"


def blackened(image: Image, weights: npt.NDArray[np.uint8]) -> Image:
    """Return an image with what is outside the field black.

    Args:
        image: Shape (H, W).
        weights: What `FieldWeights` gives of the same pixels.
    """
    result: Image = image * (weights.astype(np.float32) / np.float32(OPAQUE))
    return result
