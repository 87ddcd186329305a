"""One geometry on both halves of a pair, and an exposure that only the raw half sees.

Only geometric operations of albumentations are used: they move values and keep their range, on
float32 of any number of bits. Its photometric ones clip or rescale, and on one half alone they
would teach the network a tone that the target does not have. What an exposure does to a raw
radiograph is known instead: with a detector that is linear in intensity it is a shift in the log
domain (Beer-Lambert). For an image that is logarithmic already the size of that shift depends on
the vendor's curve, so none is applied.
"""

from collections.abc import Callable

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Augmentation = Callable[[Image, Image, int], tuple[Image, Image]]

AFFINE = {
    "rotate": (-7.0, 7.0),  # degrees
    "scale": (0.95, 1.05),
    "translate_percent": (-0.03, 0.03),  # a fraction of the side
    "interpolation": cv2.INTER_LINEAR,
    "border_mode": cv2.BORDER_REFLECT_101,
}


class Geometry:
    """The eight symmetries of the square, a small affine map, and a square crop.

    geometry = Geometry(crop=512)
    raw, target = geometry(raw, target, seed)

    Args:
        crop: Side of the square that is cut out at random, in pixels; None keeps the whole image.
        moves: False for the crop alone.
    """

    def __init__(self, crop: int | None, *, moves: bool = True) -> None:
        steps = [A.D4(p=1.0), A.Affine(**AFFINE, p=0.5)] if moves else []
        if crop is not None:
            steps.append(A.RandomCrop(crop, crop, p=1.0))
        self._compose = A.Compose(steps, additional_targets={"target": "image"})

    def __call__(self, raw: Image, target: Image, seed: int) -> tuple[Image, Image]:
        """Return both halves under the one geometry that `seed` draws."""
        self._compose.set_random_seed(seed)
        moved = self._compose(image=raw, target=target)
        return moved["image"], moved["target"]


def resample(image: Image, shorter_side: int) -> Image:
    """Return the image with its shorter side at `shorter_side` pixels and its proportions kept.

    Down by area means, so that noise averages out as on larger detector elements; up by linear
    interpolation, which stays between the values it has.
    """
    rows, columns = image.shape
    scale = shorter_side / min(rows, columns)
    if scale == 1:
        return image
    size = (max(round(columns * scale), shorter_side), max(round(rows * scale), shorter_side))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: Image = cv2.resize(image, size, interpolation=method)  # type: ignore[assignment]
    return resized


def random_exposure(seed: int, *, max_log2: float) -> float:
    """Return an exposure factor between 2**-max_log2 and 2**max_log2, uniform in its logarithm."""
    return float(2 ** np.random.default_rng(seed).uniform(-max_log2, max_log2))
