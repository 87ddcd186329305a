"""Structures of 1 to 3 mm that a source has and its enhanced image has not, or the other way round.

Enhancement is a gain that varies slowly over the image, so neither image is compared with the other
as it is: in each octave of a Laplacian pyramid the gain is fitted in a ring around every place, so
that a strong detail, or one that was erased, does not bend the gain it is compared by, and what is
left of the output when the source times that gain is taken off is what the source does not explain.
It counts in units of what nobody could tell from noise there: the source's noise times the gain,
and a share of the structures around, as no gain is quite the same on both sides of a bone's edge.

The idea of comparing by patch and frequency is that of sFRC (arXiv 2603.04673); the measure is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer.pyramid import decompose, expand, gaussian, shape_of

GRID_MM = 0.3
"""Pixel at which images are compared: finer ones are averaged, coarser ones stay as they are."""
FINEST_MM, COARSEST_MM = 0.5, 1.3
"""Pixels of the finest and the coarsest level that are compared."""
WINDOW = 4.0
"""Standard deviation of the window in which the gain is fitted, in pixels of a level."""
CENTER = 2.0
"""The same of the middle that is left out of it, so that no place explains itself."""
NONLINEAR = 0.1
"""Share of the local structure that is no difference yet: a gain is not quite constant."""
USUAL = 2.0
"""Weight of what is unexplained around a place, without what stands out."""
LEAST_GAIN = 0.3
"""Least gain, as a share of the image's median: where noise is removed, a detail still is not."""
REFITS = 3
"""Times the gain is fitted again without the places that it did not explain."""
NOISE_BLOCK = 16
"""Side in pixels of the blocks in which noise is measured."""
EDGE_MM = 3.0
"""What is so near to the border of the field is not judged: there the network draws black."""
VISIBLE = 3e-3
"""Standard deviation in the output below which nobody sees anything: less than 1/256."""
SATURATED_MM = 4.0
"""Side of an area that is all black or all white in the output, from which it is not judged."""

Kind = Literal["invented", "erased"]


@dataclass(frozen=True)
class Box:
    """A structure that only one of two images has.

    Args:
        top: First row, in pixels of the file.
        left: First column.
        bottom: Last row + 1.
        right: Last column + 1.
        kind: Whether the output alone has it (invented) or the source alone (erased).
        score: How much of it there is, in units of what could be chance.
    """

    top: int
    left: int
    bottom: int
    right: int
    kind: Kind
    score: float


@dataclass(frozen=True)
class Differences:
    """What the source does not explain, at the pixels of the comparison.

    Args:
        score: Its size in units of what could be chance, largest over the levels, shape (h, w).
        surplus: Whether the output has more structure there than the source times the gain.
        native_shape: Rows and columns of the file.
    """

    score: Image
    surplus: Mask
    native_shape: tuple[int, int]

    def boxes(self, threshold: float) -> list[Box]:
        """Return the places of a score above a threshold, highest score first."""
        mask = (self.score > threshold).astype(np.uint8)
        near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
        num, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
        boxes = [self._box(labels, i, stats[i]) for i in range(1, num)]
        return sorted(boxes, key=lambda box: -box.score)

    def _box(self, labels: npt.NDArray[Any], number: int, stats: Sequence[int]) -> Box:
        left, top, width, height = (int(value) for value in stats[:4])
        part = slice(top, top + height), slice(left, left + width)
        inside = np.where(labels[part] == number, self.score[part], 0)
        peak = np.unravel_index(inside.argmax(), inside.shape)
        down, across = np.divide(self.native_shape, self.score.shape).tolist()
        return Box(
            top=int(top * down),
            left=int(left * across),
            bottom=min(int(np.ceil((top + height) * down)), self.native_shape[0]),
            right=min(int(np.ceil((left + width) * across)), self.native_shape[1]),
            kind="invented" if self.surplus[part][peak] else "erased",
            score=round(float(inside.max()), 2),
        )


def differences(
    source: Image, enhanced: Image, *, spacing_mm: float, inside: Mask | None = None
) -> Differences:
    """Compare two images level by level.

    Args:
        source: The image as the network saw it.
        enhanced: The output, same shape.
        spacing_mm: Pixel size in mm.
        inside: Where the exposed field is, same shape; None where it is everywhere.
    """
    native = shape_of(source)
    source, enhanced = (on_grid(image.clip(0, 1), spacing_mm) for image in (source, enhanced))
    pixel_mm = spacing_mm * native[0] / len(source)
    num, first = _levels(pixel_mm, shape_of(source))
    judged = _judged(inside, shape_of(source), pixel_mm) & ~_saturated(enhanced, pixel_mm)
    score, surplus = np.zeros_like(source), np.zeros(source.shape, bool)
    pyramids = decompose(source, num)[:-1], decompose(enhanced, num)[:-1]
    broad = gaussian(source, num)[1:]
    noise = _noise(pyramids[0][0]) if num else source
    for i in range(first, num):
        ours, theirs = pyramids[0][i], pyramids[1][i]
        chance = _fitted(noise, ours) * _white(i)
        level, more = _unexplained(ours, expand(broad[i], shape_of(ours)), theirs, chance)
        level = _fitted(level, source)
        higher = level > score
        score[higher], surplus[higher] = level[higher], _fitted(more, source)[higher] > 0
    return Differences(score * judged, surplus, native)


def on_grid(image: Image, spacing_mm: float) -> Image:
    """Return an image at pixels of about `GRID_MM`, or as it is where its own are larger."""
    rows, columns = (max(round(side * spacing_mm / GRID_MM), 1) for side in image.shape)
    if rows >= len(image):
        return np.ascontiguousarray(image, np.float32)
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _levels(pixel_mm: float, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the number of levels to decompose an image into, and the first that is compared."""
    pixels = [pixel_mm * 2**i for i in range(12) if min(shape) >= 2 ** (i + 4)]
    num = sum(pixel <= COARSEST_MM for pixel in pixels)
    return num, min(sum(pixel < FINEST_MM for pixel in pixels), num)


def _judged(inside: Mask | None, shape: tuple[int, int], pixel_mm: float) -> Mask:
    mask: npt.NDArray[Any] = np.ones(shape, np.uint8)
    if inside is not None:
        size = shape[1], shape[0]
        mask = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    margin = max(round(EDGE_MM / pixel_mm), 1)
    mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    kernel = np.ones((2 * margin + 1,) * 2, np.uint8)
    return cv2.erode(mask, kernel)[1:-1, 1:-1].astype(bool)


def _saturated(enhanced: Image, pixel_mm: float) -> Mask:
    mask = ((enhanced < VISIBLE) | (enhanced > 1 - VISIBLE)).astype(np.uint8)
    side = max(round(SATURATED_MM / pixel_mm), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    large = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    return cv2.dilate(large, kernel).astype(bool)


def _noise(finest: Image) -> Image:
    """Return the noise of a level at blocks: a median, which edges and details do not move."""
    rows, columns = (max(side // NOISE_BLOCK, 1) for side in finest.shape)
    part = np.abs(finest[: rows * NOISE_BLOCK, : columns * NOISE_BLOCK])
    if min(finest.shape) < NOISE_BLOCK:
        return np.full((1, 1), np.median(np.abs(finest)) / 0.6745, np.float32)
    blocks = part.reshape(rows, NOISE_BLOCK, columns, NOISE_BLOCK)
    medians = np.median(blocks, axis=(1, 3)) / np.float32(0.6745)
    return np.asarray(cv2.medianBlur(medians.astype(np.float32), 3), np.float32)


def _unexplained(source: Image, broad: Image, output: Image, noise: Image) -> tuple[Image, Image]:
    """Return what a gain does not explain of a level in units of chance, and the surplus.

    Args:
        source: The level of the source.
        broad: The source without it and what is finer, the tone that the gain may follow.
        output: The level of the output.
        noise: The noise of the source in the level.
    """
    tone = broad - _local(broad, WINDOW)
    tone /= max(float(tone.std()), VISIBLE)
    terms = [source, _local(source, 1.0), source * tone]
    usual_power = 9 * _ring(np.abs(source)) ** 2 + np.float32(VISIBLE**2 / 100)
    leverage = usual_power / (usual_power + source**2)
    weights = leverage
    for _ in range(REFITS):
        explained = _explained(terms, output, weights, noise)
        rest = output - explained
        known = np.maximum(_ring(weights), np.float32(1e-3))
        structure, shown, usual = (
            np.asarray(_ring(weights * image**2).clip(0) / known, np.float32)
            for image in (source, explained, rest)
        )
        gain = _gain(structure, shown)
        power = gain**2 * (noise**2 + NONLINEAR**2 * structure)
        chance = cv2.sqrt(power + USUAL**2 * usual + np.float32(VISIBLE**2))
        weights = leverage / (1 + (rest / (2 * chance)) ** 2) ** 2
    score = cv2.sqrt(_local((rest / chance) ** 2, 0.8))
    surplus = _local(output**2 - explained**2, 1.0)
    return np.asarray(score, np.float32), np.asarray(surplus, np.float32)


def _explained(terms: Sequence[Image], output: Image, weights: Image, noise: Image) -> Image:
    """Return the sum of terms, each with the gain of least squares in the ring around."""
    num = len(terms)
    matrix = np.empty((*output.shape, num, num), np.float32)
    wanted = np.empty((*output.shape, num, 1), np.float32)
    ridge = 0.05 * _ring(noise**2 + np.float32(VISIBLE**2))
    for i, term in enumerate(terms):
        weighted = weights * term
        wanted[..., i, 0] = _ring(weighted * output)
        for j in range(i, num):
            matrix[..., i, j] = matrix[..., j, i] = _ring(weighted * terms[j])
        matrix[..., i, i] += ridge
    gains = np.linalg.solve(matrix, wanted)[..., 0]
    return np.asarray(sum(gains[..., i] * term for i, term in enumerate(terms)), np.float32)


def _gain(structure: Image, shown: Image) -> Image:
    """Return how much larger a structure is shown, from the power around every pixel."""
    gain = cv2.sqrt(shown / (structure + np.float32(VISIBLE**2 / 100)))
    return np.asarray(np.maximum(gain, max(LEAST_GAIN * float(np.median(gain)), 1e-3)), np.float32)


def _local(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _ring(image: Image) -> Image:
    """Return the mean around every pixel without its middle."""
    share = np.float32((CENTER / WINDOW) ** 2)
    ring = (_local(image, WINDOW) - share * _local(image, CENTER)) / (1 - share)
    return np.asarray(ring, np.float32)


def _fitted(image: Image, like: Image) -> Image:
    size = like.shape[1], like.shape[0]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


@cache
def _white(level: int) -> np.float32:
    """Return the standard deviation of white noise of 1 in a level, over that in the finest."""
    noise = np.random.default_rng(0).standard_normal((512, 512), np.float32)
    return np.float32(decompose(noise, level + 1)[level].std())
