"""One geometry for all images of a pair, and another exposure for the raw one alone.

Only geometric operations of albumentations are used: they move values and keep their range, on
float32 of any number of bits. Its photometric ones clip or rescale, and on one image alone they
would teach the network a tone that the target does not have. The effect of an exposure on a raw
radiograph is known: with a detector that is linear in intensity it is a shift in the log domain
(Beer-Lambert). For an image that is logarithmic already the size of that shift depends on the
vendor's curve, so none is applied.

A lower dose is not another exposure: fewer quanta are counted, and the image is noisier after its
brightness is made up for. N quanta have a variance of N; 1/d of them, times d, one of d N. What is
added therefore has a variance of (d - 1) N, on top of the noise that the image has.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image

AFFINE: dict[str, Any] = {
    "rotate": (-7.0, 7.0),  # degrees
    "scale": (0.95, 1.05),
    "translate_percent": (-0.03, 0.03),  # a fraction of the side
    "interpolation": cv2.INTER_LINEAR,
    "border_mode": cv2.BORDER_REFLECT_101,
}

OTHERS = ("target", "field")
"""What moves as the raw image does, which albumentations calls `image`."""


class Sliceable(Protocol):
    """Anything that returns the values of an area: an array, or an image on the disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __getitem__(self, area: tuple[slice, slice]) -> npt.NDArray[Any]:
        """Return the values of some rows and columns."""
        ...


class Geometry:
    """The eight symmetries of the square, a small affine map, and a square crop.

    geometry = Geometry(crop=512)
    raw, target = geometry((raw, target), seed)

    The place of the crop is drawn first, and only the pixels that can get into it are taken from
    the image: the square that any turn about its centre needs, mirrored where it leaves the image.

    Args:
        crop: Side of the square that is cropped at random, in pixels; None keeps the whole image.
        moves: Whether to draw a symmetry and an affine map, too.
    """

    def __init__(self, crop: int | None, *, moves: bool = True) -> None:
        # what enhances without training does without these 26 MiB
        from radenhance.compat.albumentations import A

        steps = [A.D4(p=1.0), A.Affine(**AFFINE, p=0.5)] if moves else []
        if crop is not None:
            steps.append(A.CenterCrop(crop, crop, p=1.0))
        self._compose = A.Compose(steps, additional_targets=dict.fromkeys(OTHERS, "image"))
        self._crop = crop
        self._margin = _margin(crop) if crop and moves else 0

    def __call__(self, images: Sequence[Sliceable], seed: int) -> list[Image]:
        """Return up to three images of one shape under the one geometry that `seed` draws."""
        top, left = 0, 0
        shape = rows, columns = images[0].shape
        if self._crop is not None:
            # the seed is also that of albumentations and of the exposure, hence a stream of its own
            random = np.random.default_rng([seed, 1])
            top, left = (int(random.integers(side - self._crop + 1)) for side in shape)
            rows = columns = self._crop
        corner = (top - self._margin, left - self._margin)
        size = (rows + 2 * self._margin, columns + 2 * self._margin)
        names = ("image", *OTHERS)[: len(images)]
        cropped = [mirrored_crop(image, corner, size) for image in images]
        self._compose.set_random_seed(seed)
        moved = self._compose(**dict(zip(names, cropped, strict=True)))
        return [moved[name] for name in names]


def mirrored_crop(image: Sliceable, corner: tuple[int, int], size: tuple[int, int]) -> Image:
    """Return a rectangle of an image, mirrored where it reaches over the border.

    Nothing outside the rectangle is read.

    Args:
        image: The image, shape (H, W).
        corner: Row and column of the rectangle's first pixel; negative ones are over the border.
        size: Number of rows and columns of the rectangle.
    """
    (top, left), (rows, columns) = corner, size
    bottom, right = top + rows, left + columns
    last_row, last_column = image.shape
    inside = image[max(top, 0) : min(bottom, last_row), max(left, 0) : min(right, last_column)]
    above, below = max(-top, 0), max(bottom - last_row, 0)
    before, after = max(-left, 0), max(right - last_column, 0)
    if not any((above, below, before, after)):
        return inside
    mirrored = cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_REFLECT_101)
    return cast("Image", mirrored)


def _margin(crop: int) -> int:
    """Return how far beyond a crop the largest rotation, shift and downscaling reach, in pixels.

    A square of side w, turned by r about its centre, shifted by t * w and reduced to s, still
    covers the crop if  w / 2 >= (crop / 2 + t * w) * (cos r + sin r) / s,  and a pixel for the
    interpolation.
    """
    angle = np.deg2rad(AFFINE["rotate"][1])
    reach = (np.cos(angle) + np.sin(angle)) / AFFINE["scale"][0]
    side = (crop * reach / 2 + 2) / (0.5 - AFFINE["translate_percent"][1] * reach)
    return ceil(float(side - crop) / 2)


def random_exposure(seed: int, *, max_log2: float) -> float:
    """Return an exposure factor between 2**-max_log2 and 2**max_log2, uniform in its logarithm."""
    return float(2 ** np.random.default_rng(seed).uniform(-max_log2, max_log2))


def random_dose(seed: int, *, max_log2: float) -> float:
    """Return by how much a dose is divided: 1 to 2**max_log2, uniform in its logarithm."""
    random = np.random.default_rng([seed, 2])
    return float(2 ** random.uniform(0, max_log2))


def lower_dose(
    unit: Image, divisor: float, *, bits: int, full_scale_quanta: float, seed: int
) -> Image:
    """Return a LIN image as with fewer quanta, at the same brightness.

    The noise that is added is white: it lacks the blur of a detector whose pixels are smaller than
    its point spread, which matters at native size.

    Args:
        unit: Unit values, float32, shape (H, W), as `normalize.to_unit` makes them.
        divisor: The old dose divided by the new one, at least 1.
        bits: Bits per pixel of the file.
        full_scale_quanta: Quanta per pixel of `unit` where the file has its largest intensity.
        seed: Seed of the noise.
    """
    decades = np.log1p((1 << bits) - 1)
    intensity = np.expm1((1 - unit.astype(np.float64)).clip(0) * decades)
    per_value = full_scale_quanta / ((1 << bits) - 1)
    expected = (divisor - 1) * per_value * intensity
    noise = np.random.default_rng([seed, 3]).poisson(expected) - expected
    noisy = np.maximum(intensity + noise / per_value, 0)
    lowered: Image = (1 - np.log1p(noisy) / decades).astype(np.float32)
    return lowered
