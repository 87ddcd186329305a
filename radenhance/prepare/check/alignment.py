"""How far a target is shifted against its raw image, to a fraction of a pixel, and its polarity.

Phase correlation: the cross spectrum of two shifted images, freed of its magnitude, is that of a
peak at the shift, whatever contrast each of them has. Two steps keep it quick on large images:

    reduced images    -> shift to about a pixel of theirs, and the sign of their likeness
    a few full patches, taken that far apart -> the rest, to a few hundredths of a pixel

Kuglin and Hines 1975, "The phase correlation image alignment method". The peak between pixels is
found by evaluating the inverse transform there (Guizar-Sicairos et al. 2008, Opt. Lett. 33:156).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image

_Spectrum = npt.NDArray[np.complexfloating]

REDUCED = 512
PATCH = 256
NUM_PATCHES = 9
STEP = 0.02
"""Pixels between the places where the peak is looked for."""
HIGHEST = 0.15
"""Cycles per pixel that still count; above are noise and what compression left."""


@dataclass(frozen=True)
class Alignment:
    """How a target lies on its raw image.

    Args:
        shift: Rows and columns by which the target lies off the raw image; (1, 0) is one pixel too
            low.
        likeness: Correlation of their local detail in [-1, 1], with the shift undone. Negative is
            an inverted target; about 0 are two images that have nothing in common.
    """

    shift: tuple[float, float]
    likeness: float

    @property
    def distance(self) -> float:
        """Length of the shift in pixels."""
        return float(np.hypot(*self.shift))


def align(raw: Image, target: Image) -> Alignment:
    """Compare two images of one size, shape (H, W), bone bright in both."""
    scale = max(1.0, max(raw.shape) / REDUCED)
    small_raw, small_target = (detail_of(_reduced(image, scale)) for image in (raw, target))
    coarse = _shift([(_faded(small_raw), _faded(small_target))])
    likeness = _likeness(small_raw, small_target, coarse)
    if scale == 1:
        return Alignment(coarse, likeness)
    whole = (round(coarse[0] * scale), round(coarse[1] * scale))
    patches = _patches(raw, target, whole, where=np.abs(small_raw), scale=scale)
    fine = _shift(patches)
    return Alignment((whole[0] + fine[0], whole[1] + fine[1]), likeness)


def _reduced(image: Image, scale: float) -> Image:
    rows, columns = image.shape
    size = (max(round(columns / scale), 1), max(round(rows / scale), 1))
    return (
        image if scale == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    )


def detail_of(image: Image) -> Image:
    """Return what differs from the surroundings, in standard deviations, no step above 2."""
    detail = image - cv2.GaussianBlur(image, (0, 0), 4)
    deviation = float(detail.std())
    if deviation < 1e-6:  # a constant image, and rounding
        return np.zeros_like(detail)
    scale = 1.4826 * float(np.median(np.abs(detail))) or deviation
    clipped: Image = np.clip(detail / np.float32(scale), -2, 2)
    return clipped


def _faded(image: Image) -> Image:
    """Return the image faded to zero at its border, which would be an edge for the transform."""
    rows, columns = image.shape
    fade: Image = image * np.outer(np.hanning(rows), np.hanning(columns)).astype(np.float32)
    return fade


def _shift(pairs: list[tuple[Image, Image]]) -> tuple[float, float]:
    """Return the one shift of several pairs of equal size."""
    spectrum = sum(_cross_spectrum(raw, target) for raw, target in pairs)
    assert not isinstance(spectrum, int)
    correlation = np.abs(np.fft.ifft2(spectrum).real)
    peak = np.unravel_index(np.argmax(correlation), correlation.shape)
    whole = [int((p + n // 2) % n - n // 2) for p, n in zip(peak, correlation.shape, strict=True)]
    offsets = np.arange(-1, 1 + STEP, STEP)
    along = [
        np.exp(2j * np.pi * np.outer(w + offsets, np.fft.fftfreq(n)))
        for w, n in zip(whole, correlation.shape, strict=True)
    ]
    near = np.abs((along[0] @ spectrum @ along[1].T).real)
    row, column = np.unravel_index(np.argmax(near), near.shape)
    return whole[0] + float(offsets[row]), whole[1] + float(offsets[column])


def _cross_spectrum(raw: Image, target: Image) -> _Spectrum:
    cross = np.conj(np.fft.fft2(raw)) * np.fft.fft2(target)
    rows, columns = (np.fft.fftfreq(n) for n in cross.shape)
    low_pass = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * HIGHEST**2))
    whitened: _Spectrum = cross / np.maximum(np.abs(cross), 1e-9) * low_pass
    return whitened


def _likeness(raw: Image, target: Image, shift: tuple[float, float]) -> float:
    moved = np.roll(target, (-round(shift[0]), -round(shift[1])), axis=(0, 1))
    deviation = float(raw.std()) * float(moved.std())
    if deviation == 0:
        return 0.0
    return float(((raw - raw.mean()) * (moved - moved.mean())).mean()) / deviation


def _patches(
    raw: Image, target: Image, shift: tuple[int, int], *, where: Image, scale: float
) -> list[tuple[Image, Image]]:
    """Return patches of both images, `shift` apart, where the reduced image has most detail."""
    side = min(PATCH, *(n - abs(s) for n, s in zip(raw.shape, shift, strict=True)))
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
        chosen.append((_faded(detail_of(both[0])), _faded(detail_of(both[1]))))
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
