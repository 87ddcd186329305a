"""How far a target is shifted against its raw image, to a fraction of a pixel, and its polarity.

Phase correlation: the cross spectrum of two shifted images, divided by its magnitude, is the
spectrum of a peak at the shift, whatever contrast each has. Large images take two steps:

    reduced images                           -> shift to about one of their pixels, correlation
    a few full patches, taken that far apart -> the rest, to a few hundredths of a pixel

Kuglin and Hines 1975, "The phase correlation image alignment method". The peak between pixels is
found by evaluating the inverse transform there (Guizar-Sicairos et al. 2008, Opt. Lett. 33:156).

`cv2.phaseCorrelate` does not do: it places the peak by the centroid of 5 x 5 pixels, which is wrong
by up to 0.18 pixels at shifts of half a pixel where this module is wrong by 0.03; it looks for the
highest value only, and an inverted target has the lowest; and it cannot add up the spectra of
several patches.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image

_Spectrum = npt.NDArray[np.complexfloating]
"""Of a real image: the columns of frequencies from 0 up, as the others are theirs mirrored."""
_Floats = npt.NDArray[np.floating]

REDUCED_PX = 512
"""Longest side of the reduced images."""
PATCH_PX = 256
"""Side of the full-resolution patches."""
NUM_PATCHES = 9
STEP_PX = 0.02
"""Distance of the places at which the peak is searched for."""
LEAST_CORRELATION = 0.2
"""Of what shows the same; targets of other radiographs have less."""
HIGHEST_FREQUENCY = 0.15
"""Cycles per pixel that still count; above them are noise and traces of compression."""


@dataclass(frozen=True)
class Alignment:
    """How a target lies on its raw image.

    Args:
        shift: Rows and columns in pixels by which the target is shifted against the raw image;
            (1, 0) is one pixel too low.
        correlation: Correlation of the local detail of both, in [-1, 1], with the shift undone. An
            inverted target has a negative one, and two different radiographs one of about 0.
    """

    shift: tuple[float, float]
    correlation: float

    @property
    def distance(self) -> float:
        """The length of the shift in pixels."""
        return float(np.hypot(*self.shift))


def align(raw: Image, target: Image) -> Alignment:
    """Measure how a target lies on its raw image.

    Args:
        raw: The raw image, shape (rows, columns), in [0, 1], bone bright.
        target: The target, same shape and range, bone bright.
    """
    scale = _scale(raw.shape)
    small_raw, small_target = (detail_of(reduced(image)) for image in (raw, target))
    coarse = _shift([(small_raw, small_target)])
    correlation = _correlation(small_raw, small_target, coarse)
    if scale == 1:
        return Alignment(coarse, correlation)
    whole = (round(coarse[0] * scale), round(coarse[1] * scale))
    patches = _patches(raw, target, whole, where=np.abs(small_raw), scale=scale)
    fine = _shift(patches)
    return Alignment((whole[0] + fine[0], whole[1] + fine[1]), correlation)


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which an image lies on another one of the same pixels.

    Args:
        quarters: Number of quarter turns, counterclockwise.
        mirrored: Whether it was mirrored, left for right, before it was turned.
    """

    quarters: int = 0
    mirrored: bool = False

    def __str__(self) -> str:
        """Return what was done to the image, as a predicate."""
        return _CALLED[self]

    def undone(self, image: Image) -> Image:
        """Return an image as it was before it was mirrored and turned."""
        back = np.rot90(image, -self.quarters)
        return np.ascontiguousarray(np.fliplr(back) if self.mirrored else back)


_CALLED = {
    Orientation(0): "in place",
    Orientation(1): "turned by 90 degrees counterclockwise",
    Orientation(2): "turned by 180 degrees",
    Orientation(3): "turned by 90 degrees clockwise",
    Orientation(0, mirrored=True): "mirrored left to right",
    Orientation(1, mirrored=True): "mirrored, and turned by 90 degrees counterclockwise",
    Orientation(2, mirrored=True): "mirrored top to bottom",
    Orientation(3, mirrored=True): "mirrored, and turned by 90 degrees clockwise",
}


def likeness_by_orientation(raw: Image, target: Image) -> dict[Orientation, float]:
    """Return how much a target has in common with its raw image in each way in which it may lie.

    Args:
        raw: The raw image, shape (rows, columns), in [0, 1].
        target: The target, in [0, 1].

    Returns:
        Orientation -> correlation of reduced images, as in `Alignment`, the one with the largest
        absolute value first; only those that have the raw image's shape.
    """
    if target.shape not in (raw.shape, raw.shape[::-1]):
        return {}
    detail, other = detail_of(reduced(raw)), detail_of(reduced(target))
    spectrum = np.conj(np.fft.rfft2(_faded(detail)))
    found: dict[Orientation, float] = {}
    for orientation in _CALLED:
        lying = orientation.undone(other)
        if lying.shape == detail.shape:
            whitened = _whitened(spectrum * np.fft.rfft2(_faded(lying)), detail.shape)
            shift = _whole_shift(whitened, detail.shape)
            found[orientation] = _correlation(detail, lying, shift)
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def _scale(shape: tuple[int, ...]) -> float:
    return max(1.0, max(shape) / REDUCED_PX)


def reduced(image: Image) -> Image:
    """Return an image with a longer side of at most REDUCED_PX.

    Args:
        image: Any image, shape (rows, columns).
    """
    scale = _scale(image.shape)
    rows, columns = image.shape
    size = (max(round(columns / scale), 1), max(round(rows / scale), 1))
    return (
        image if scale == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    )


def detail_of(image: Image) -> Image:
    """Return what differs from the surroundings, in standard deviations, clipped to [-2, 2].

    Args:
        image: Any image, shape (rows, columns).
    """
    detail = image - cv2.GaussianBlur(image, (0, 0), 4)
    deviation = float(detail.std())
    if deviation < 1e-6:  # a constant image, but for rounding
        return np.zeros_like(detail)
    scale = 1.4826 * float(np.median(np.abs(detail))) or deviation
    clipped: Image = np.clip(detail / np.float32(scale), -2, 2)
    return clipped


def _faded(image: Image) -> Image:
    """Return the image faded to zero at its border, which the transform would take for an edge."""
    rows, columns = image.shape
    fade: Image = image * np.outer(np.hanning(rows), np.hanning(columns)).astype(np.float32)
    return fade


def _shift(pairs: list[tuple[Image, Image]]) -> tuple[float, float]:
    """Return the one shift, in pixels, that fits several pairs of equal size."""
    shape = pairs[0][0].shape
    spectrum = sum(_cross_spectrum(_faded(raw), _faded(target)) for raw, target in pairs)
    assert not isinstance(spectrum, int)
    whole = _whole_shift(spectrum, shape)
    offsets = np.arange(-1, 1 + STEP_PX, STEP_PX)
    along = [
        np.exp(2j * np.pi * np.outer(w + offsets, frequencies))
        for w, frequencies in zip(whole, _frequencies(shape), strict=True)
    ]
    # Columns that stand for two, as the other half of a real image's spectrum is theirs.
    twice = np.where((_frequencies(shape)[1] % 0.5) == 0, 1, 2)
    near = np.abs((along[0] @ (spectrum * twice) @ along[1].T).real)
    row, column = np.unravel_index(np.argmax(near), near.shape)
    found = whole[0] + float(offsets[row]), whole[1] + float(offsets[column])
    # The highest of many peaks is one of chance where little is common to both images.
    still, moved = (
        sum(abs(_correlation(*pair, shift)) for pair in pairs) for shift in ((0, 0), found)
    )
    return found if moved >= still else (0.0, 0.0)


def _whole_shift(spectrum: _Spectrum, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shift in whole pixels whose peak a whitened cross spectrum has."""
    correlation = np.abs(np.fft.irfft2(spectrum, shape))
    peak = np.unravel_index(np.argmax(correlation), correlation.shape)
    rows, columns = (
        int((p + n // 2) % n - n // 2) for p, n in zip(peak, correlation.shape, strict=True)
    )
    return rows, columns


def _frequencies(shape: tuple[int, ...]) -> tuple[_Floats, _Floats]:
    """Return cycles per pixel of the rows and columns of a real image's spectrum."""
    return np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])


def _cross_spectrum(raw: Image, target: Image) -> _Spectrum:
    return _whitened(np.conj(np.fft.rfft2(raw)) * np.fft.rfft2(target), raw.shape)


def _whitened(cross: _Spectrum, shape: tuple[int, ...]) -> _Spectrum:
    whitened: _Spectrum = cross / np.maximum(np.abs(cross), 1e-9) * _low_pass(shape)
    return whitened


@lru_cache(maxsize=8)
def _low_pass(shape: tuple[int, ...]) -> _Floats:
    rows, columns = _frequencies(shape)
    passed = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * HIGHEST_FREQUENCY**2))
    return passed.astype(np.float32)


def _correlation(raw: Image, target: Image, shift: tuple[float, float]) -> float:
    moved = np.roll(target, (-round(shift[0]), -round(shift[1])), axis=(0, 1))
    deviation = float(raw.std()) * float(moved.std())
    if deviation == 0:
        return 0.0
    return float(((raw - raw.mean()) * (moved - moved.mean())).mean()) / deviation


def _patches(
    raw: Image, target: Image, shift: tuple[int, int], *, where: Image, scale: float
) -> list[tuple[Image, Image]]:
    """Return patches of both images, `shift` apart, where the reduced image has most detail."""
    side = min(PATCH_PX, *(n - abs(s) for n, s in zip(raw.shape, shift, strict=True)))
    reach = max(round(side / scale), 1)
    busy = cv2.blur(where, (reach, reach))
    chosen = []
    for _ in range(NUM_PATCHES):
        row, column = (int(i) for i in np.unravel_index(np.argmax(busy), busy.shape))
        busy[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach] = -1
        middle = (round(row * scale), round(column * scale))
        here = _corner(middle, side, shift, raw.shape)
        there = (here[0] + shift[0], here[1] + shift[1])
        both = (_patch(raw, here, side), _patch(target, there, side))
        chosen.append((detail_of(both[0]), detail_of(both[1])))
    return chosen


def _corner(
    middle: tuple[int, int], side: int, shift: tuple[int, int], shape: tuple[int, ...]
) -> tuple[int, int]:
    """Return the first row and column of a square that lies in the image, also when shifted."""
    row, column = (
        min(max(m - side // 2, -s, 0), n - side - max(s, 0))
        for m, s, n in zip(middle, shift, shape, strict=True)
    )
    return row, column


def _patch(image: Image, corner: tuple[int, int], side: int) -> Image:
    return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
