"""Structures of 1 to 3 mm that a source has and its enhanced image has not, or the other way round.

Enhancement is a gain that varies slowly over the image, so neither image is compared with the other
as it is: in each octave of a Laplacian pyramid the gain is fitted in a ring around every place, so
that a strong detail, or one that was erased, does not bend the gain it is compared by, and what is
left of the output when the source times that gain is taken off is what the source does not explain.
It counts in units of what an untouched output leaves: more where the source has noise, structures
around or broad edges, along the field's border, and beside what is clipped. What is left around is
no such unit, as a detail raises it together with its own.

The idea of comparing by patch and frequency is that of sFRC (arXiv 2603.04673); the measure is not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Floats, Image, Mask
from radenhance.reference_enhancer.pyramid import decompose, expand, gaussian, reduce, shape_of

GRID_MM = 0.3
"""Pixel at which images are compared: finer ones are averaged, coarser ones stay as they are."""
OCTAVES = 3
"""Octaves that are compared: pixels of about 1, 2 and 4 times `GRID_MM`."""
WINDOW = 4.0
"""Standard deviation of the window in which the gain is fitted, in pixels of a level."""
CENTER = 2.0
"""The same of the middle that is left out of it, so that no place explains itself."""
REFITS = 3
"""Times the gain is fitted again without the places that it did not explain."""
LEAST_GAIN = 0.3
"""Least gain, as a share of the image's median: where noise is removed, a detail still is not."""
NOISE_BLOCK = 16
"""Side in pixels of the blocks in which noise is measured."""
EDGE_MM = 3.0
"""What is so near to the border of the field is not judged: there the network draws black."""
NEAR_MM = 6.0
"""Depth of the rim inside of that, in which networks leave stripes along the border."""
VISIBLE = 3e-3
"""Standard deviation in the output below which nobody sees anything: less than 1/256."""
CLIPPED_MM, WHITE_MM = 4.0, 1.2
"""Sides of areas that are not judged: all black or all white in the output, or in both images."""

OF_NOISE, OF_STRUCTURE, OF_EDGES = 0.5, 0.06, 0.001
"""What an untouched output leaves: shares of the powers of noise, what is around, broad edges."""
OF_RIM, OF_STRUCTURE_IN_RIM = 1e-3, 0.15
"""What it leaves at the border of what is judged: in unit values, and of what is around."""
OF_CLIPPED, LEAST = 3e-4, 1e-6
"""What it leaves where it ends in black or white, and everywhere, in unit values."""

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
class Octave:
    """What the source does not explain of one octave.

    Args:
        number: 0 for pixels of about `GRID_MM`, one more for each doubling.
        score: Its size in units of what could be chance, shape (h, w) of the octave.
        surplus: Whether the output has more structure there than the source times the gain.
    """

    number: int
    score: Image
    surplus: Mask


@dataclass(frozen=True)
class Differences:
    """What the source does not explain.

    Args:
        octaves: The octaves that the image has, finest first.
        shape: Rows and columns of the comparison.
        native_shape: Rows and columns of the file.
    """

    octaves: list[Octave]
    shape: tuple[int, int]
    native_shape: tuple[int, int]

    def boxes(self, thresholds: Sequence[float]) -> list[Box]:
        """Return the places of a score above the threshold of its octave, highest score first.

        Args:
            thresholds: One for each of `OCTAVES`.
        """
        score, surplus = self._joined(thresholds)
        num, labels, stats = islands(score > 1, self._first)
        boxes = [self._box(score, surplus, labels, i, stats[i]) for i in range(1, num)]
        return sorted(boxes, key=lambda box: -box.score)

    def numbers(self, thresholds: Sequence[float], times: Floats, *, most: int) -> Floats:
        """Return how many boxes there are at multiples of thresholds; infinite where not counted.

        Args:
            thresholds: One for each of `OCTAVES`.
            times: What they are multiplied by, highest first.
            most: Number of boxes from which on they are not counted.
        """
        score, _ = self._joined(thresholds)
        numbers = np.full(len(times), np.inf, np.float32)
        highest = score.max()
        for i, least in enumerate(times):
            numbers[i] = islands(score > least, self._first)[0] - 1 if least < highest else 0
            if numbers[i] > most:
                break
        return numbers

    @property
    def _first(self) -> int:
        return self.octaves[0].number if self.octaves else 0

    def _joined(self, thresholds: Sequence[float]) -> tuple[Image, Mask]:
        """Return the highest score of any octave in units of its threshold, and its surplus."""
        score, surplus = np.zeros(self.shape, np.float32), np.zeros(self.shape, bool)
        for octave in self.octaves:
            level = _fitted(octave.score / np.float32(thresholds[octave.number]), self.shape)
            higher = level > score
            score[higher] = level[higher]
            more = _fitted(octave.surplus.astype(np.uint8), self.shape, cv2.INTER_NEAREST)
            surplus[higher] = more[higher] > 0
        return score, surplus

    def _box(
        self,
        score: Image,
        surplus: Mask,
        labels: npt.NDArray[Any],
        number: int,
        stats: Sequence[int],
    ) -> Box:
        left, top, width, height = (int(value) for value in stats[:4])
        part = slice(top, top + height), slice(left, left + width)
        inside = np.where(labels[part] == number, score[part], 0)
        peak = np.unravel_index(inside.argmax(), inside.shape)
        down, across = np.divide(self.native_shape, self.shape).tolist()
        return Box(
            top=int(top * down),
            left=int(left * across),
            bottom=min(int(np.ceil((top + height) * down)), self.native_shape[0]),
            right=min(int(np.ceil((left + width) * across)), self.native_shape[1]),
            kind="invented" if surplus[part][peak] else "erased",
            score=round(float(inside.max()), 2),
        )


def islands(mask: Mask, octave: int) -> tuple[int, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the number of islands of a mask and 1, their labels from 1 on, and OpenCV's stats.

    Places up to 2.4 mm apart are one island.

    Args:
        mask: The mask, in pixels of an octave.
        octave: Its number.
    """
    side = 2 * (4 >> octave) + 1
    near = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))
    num, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    return num, labels, stats


def differences(
    source: Image, enhanced: Image, *, spacing_mm: float, inside: Mask | None = None
) -> Differences:
    """Compare two images octave by octave.

    Args:
        source: The image as the network saw it.
        enhanced: The output, same shape.
        spacing_mm: Pixel size in mm.
        inside: Where the exposed field is, same shape; None where it is everywhere.
    """
    native = shape_of(source)
    source, enhanced = (on_grid(image.clip(0, 1), spacing_mm) for image in (source, enhanced))
    pixel_mm = spacing_mm * native[0] / len(source)
    shape = shape_of(source)
    num, number = _levels(pixel_mm, shape)
    known = _judged(inside, shape, pixel_mm)
    judged = known & ~_saturated(source, enhanced, pixel_mm)
    rim = _rim(known, pixel_mm)
    source, enhanced = _filled(source, known), _filled(enhanced, known)
    octaves = []
    for i, level in enumerate(_compared(source, enhanced, rim, num)):
        score, surplus = _unexplained(level)
        mask = _fitted(judged.astype(np.uint8), shape_of(score), cv2.INTER_NEAREST)
        octaves.append(Octave(number + i, score * mask, surplus > 0))
    return Differences(octaves, shape, native)


def on_grid(image: Image, spacing_mm: float) -> Image:
    """Return an image at pixels of about `GRID_MM`, or as it is where its own are larger."""
    rows, columns = (max(round(side * spacing_mm / GRID_MM), 1) for side in image.shape)
    if rows >= len(image):
        return np.ascontiguousarray(image, np.float32)
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _levels(pixel_mm: float, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the number of octaves that an image has of `OCTAVES`, and the number of its first."""
    first = max(round(np.log2(pixel_mm / GRID_MM)), 0)
    return sum(min(shape) >= 2 ** (i + 4) for i in range(OCTAVES - first)), first


def _judged(inside: Mask | None, shape: tuple[int, int], pixel_mm: float) -> Mask:
    mask: npt.NDArray[Any] = np.ones(shape, np.uint8)
    if inside is not None:
        size = shape[1], shape[0]
        mask = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    margin = max(round(EDGE_MM / pixel_mm), 1)
    mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    kernel = np.ones((2 * margin + 1,) * 2, np.uint8)
    return cv2.erode(mask, kernel)[1:-1, 1:-1].astype(bool)


def _saturated(source: Image, enhanced: Image, pixel_mm: float) -> Mask:
    """Return where nothing can be told: large areas that are black or white, and lead markers."""
    clipped = _clipped(enhanced)
    white = (enhanced > 1 - VISIBLE) & (source > 1 - VISIBLE)
    large, marked = (
        cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(side_mm / pixel_mm))
        for mask, side_mm in ((clipped, CLIPPED_MM), (white, WHITE_MM))
    )
    around = cv2.dilate(cv2.max(large, marked), _disc(2 * EDGE_MM / pixel_mm))
    return around.astype(bool)


def _clipped(image: Image) -> Mask:
    return (image < VISIBLE) | (image > 1 - VISIBLE)


def _disc(pixels: float) -> npt.NDArray[Any]:
    side = max(round(pixels), 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def _rim(known: Mask, pixel_mm: float) -> Image:
    """Return 1 at the border of what is known, and less from there inwards."""
    framed = cv2.copyMakeBorder(known.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    far = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(np.exp(-far * np.float32(pixel_mm / NEAR_MM)), np.float32)


def _filled(image: Image, known: Mask) -> Image:
    """Return an image with what is not known filled in smoothly, so that its border is no edge."""
    shown, weights = [image * known], [known.astype(np.float32)]
    while min(shown[-1].shape) > 2:
        shown.append(reduce(shown[-1]))
        weights.append(reduce(weights[-1]))
    filled = shown[-1] / np.maximum(weights[-1], np.float32(1e-6))
    for part, weight in zip(shown[-2::-1], weights[-2::-1], strict=True):
        filled = part + (1 - weight) * expand(filled, shape_of(part))
    return np.asarray(filled, np.float32)


@dataclass(frozen=True)
class _Level:
    """An octave of both images.

    Args:
        source: The octave of the source.
        output: That of the output.
        broad: The source without it and what is finer, the tone that the gain may follow.
        edges: Power of the source's edges that are much broader than a detail of the octave.
        noise: Standard deviation of the source's noise in the octave.
        rim: 1 at the border of what is judged, and less from there inwards.
        clipped: How much of what is around is black or white in the output.
    """

    source: Image
    output: Image
    broad: Image
    edges: Image
    noise: Image
    rim: Image
    clipped: Image


def _compared(source: Image, enhanced: Image, rim: Image, num: int) -> Iterator[_Level]:
    pyramids = decompose(source, num), decompose(enhanced, num)
    broad = gaussian(source, num + 1)[1:]
    clipped = gaussian(_clipped(enhanced).astype(np.float32), num)
    noise = _noise(pyramids[0][0]) if num else source
    for i in range(num):
        shape = shape_of(pyramids[0][i])
        yield _Level(
            source=pyramids[0][i],
            output=pyramids[1][i],
            broad=expand(broad[i], shape),
            edges=_fitted(_steepness(broad[i + 1]), shape),
            noise=_fitted(noise, shape) * _white(i),
            rim=_fitted(rim, shape),
            clipped=_local(clipped[i], 1.5),
        )


def _steepness(image: Image) -> Image:
    down, across = (cv2.Sobel(image, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((0, 1), (1, 0)))
    return _local(down**2 + across**2, 1.0)


def _noise(finest: Image) -> Image:
    """Return the noise of a level at blocks: a median, which edges and details do not move."""
    rows, columns = (max(side // NOISE_BLOCK, 1) for side in finest.shape)
    part = np.abs(finest[: rows * NOISE_BLOCK, : columns * NOISE_BLOCK])
    if min(finest.shape) < NOISE_BLOCK:
        return np.full((1, 1), np.median(np.abs(finest)) / 0.6745, np.float32)
    blocks = part.reshape(rows, NOISE_BLOCK, columns, NOISE_BLOCK)
    medians = np.median(blocks, axis=(1, 3)) / np.float32(0.6745)
    return np.asarray(cv2.medianBlur(medians.astype(np.float32), 3), np.float32)


def _unexplained(level: _Level) -> tuple[Image, Image]:
    """Return what a gain does not explain of a level in units of chance, and the surplus."""
    explained, power, structure = _fit(level)
    around = OF_STRUCTURE + OF_STRUCTURE_IN_RIM * level.rim
    chance = power * (OF_NOISE * level.noise**2 + around * structure + OF_EDGES * level.edges)
    chance += OF_RIM * level.rim**2 + OF_CLIPPED * level.clipped + np.float32(LEAST)
    score = cv2.sqrt(_local((level.output - explained) ** 2 / chance, 0.8))
    surplus = _local(level.output**2 - explained**2, 1.0)
    return np.asarray(score, np.float32), np.asarray(surplus, np.float32)


def _fit(level: _Level) -> tuple[Image, Image, Image]:
    """Return what a gain explains of the output, its power, and the source's power around."""
    source, shape = level.source, shape_of(level.source)
    tone = level.broad - _local(level.broad, WINDOW)
    tone /= max(float(tone.std()), VISIBLE)
    terms = [source, _local(source, 1.0), source * tone]
    around = 9 * _ring(np.abs(source)) ** 2 + np.float32(VISIBLE**2 / 100)
    leverage = 1 / (1 + source**2 / _fitted(around, shape))
    noise = level.noise**2 + np.float32(VISIBLE**2)
    weights = leverage
    for _ in range(REFITS):
        explained = _explained(terms, level.output, weights, 0.05 * noise)
        rest = level.output - explained
        known = np.maximum(_ring(weights), np.float32(1e-3))
        structure, shown, usual = (
            np.asarray(_ring(weights * image**2).clip(0) / known, np.float32)
            for image in (source, explained, rest)
        )
        power = _gain(structure, shown) ** 2
        spread = _fitted(power * structure / 100 + 4 * usual, shape)
        power = _fitted(power, shape)
        weights = leverage / (1 + rest**2 / (4 * (spread + power * noise))) ** 2
    return explained, power, _fitted(structure, shape)


def _explained(terms: Sequence[Image], output: Image, weights: Image, ridge: Image) -> Image:
    """Return the sum of terms, each with the gain of least squares in the ring around."""
    num, least = len(terms), _ring(ridge)
    matrix = np.empty((*least.shape, num, num), np.float32)
    wanted = np.empty((*least.shape, num, 1), np.float32)
    for i, term in enumerate(terms):
        weighted = weights * term
        wanted[..., i, 0] = _ring(weighted * output)
        for j in range(i, num):
            matrix[..., i, j] = matrix[..., j, i] = _ring(weighted * terms[j])
        matrix[..., i, i] += least
    gains = np.linalg.solve(matrix, wanted)[..., 0]
    shape = shape_of(output)
    parts = (_fitted(gains[..., i], shape) * term for i, term in enumerate(terms))
    return np.asarray(sum(parts), np.float32)


def _gain(structure: Image, shown: Image) -> Image:
    """Return how much larger a structure is shown, from the power around every pixel."""
    gain = cv2.sqrt(shown / (structure + np.float32(VISIBLE**2 / 100)))
    return np.asarray(np.maximum(gain, max(LEAST_GAIN * float(np.median(gain)), 1e-3)), np.float32)


def _local(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _ring(image: Image) -> Image:
    """Return the mean around every second pixel without its middle."""
    size = (image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2
    half = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    share = np.float32((CENTER / WINDOW) ** 2)
    ring = (_local(half, WINDOW / 2) - share * _local(half, CENTER / 2)) / (1 - share)
    return np.asarray(ring, np.float32)


def _fitted(image: Any, shape: tuple[int, int], how: int = cv2.INTER_LINEAR) -> Any:
    return cv2.resize(image, shape[::-1], interpolation=how)


@cache
def _white(level: int) -> np.float32:
    """Return the standard deviation of white noise of 1 in a level, over that in the finest."""
    noise = np.random.default_rng(0).standard_normal((512, 512), np.float32)
    return np.float32(decompose(noise, level + 1)[level].std())
