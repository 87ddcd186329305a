"""One collimator edge in a small radiograph: where it is, and whether to believe it.

Behind a collimator there is only scatter, so in attenuation polarity the image is bright there and
gets brighter with distance. Blacking out anatomy is the worse mistake, so a straight bright step is
believed only if it is sharp, as long as the field, has nothing dark behind it, and what is behind
is smooth and never falls with distance. A skin line rises slowly, a long bone is darker on its far
side, a diaphragm has ribs and a spine behind it: each fails at least one of these.

    ####. . . . .       Only edges left of the field are found; the caller turns the image.
    ###.  field         Candidates are lines  x = offset + slope * (y - middle)  up to 16 degrees
    ##.                 from upright, scored by the mean step across them: a Radon transform, made
    #.                  of shears and column means.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image, Mask

Floats = npt.NDArray[np.floating]

# Lengths are in pixels of an image of about 512 x 512, brightness in units of its range.
MAX_ANGLE_DEG = 16
NUM_CANDIDATES = 8
MIN_SCORE = 0.08  # mean capped step of a candidate: the shortest edge with the smallest step
STEP_PX = 6  # width of the strips compared on both sides of a line
FAR_PX = 24  # how far behind and before a line the whole step is looked for
FALL_PX = 64  # how far behind a line brightness must not fall
MIN_STEP = 0.06
MIN_BLOCKED = 0.25  # brightness behind an edge
MIN_LENGTH = 0.2  # length of an edge, of the image side
MIN_SUPPORT = 0.8  # part of that length that shows the step
MIN_SHARPNESS = 0.5  # step between the strips, of the step within FAR_PX
MAX_DARK = 0.02  # part of the area behind an edge that may be dark
MAX_PASSING = 0.05  # part of the line beyond the edge's ends that may have field on its right
MAX_TEXTURE = 0.15  # structure behind an edge, of the step
MAX_FALL = 0.1  # fall of brightness with distance from an edge, of the step
STRICTNESS_IF_EXPECTED = 0.5  # about sharpness, texture and fall
FOOT = 0.07  # height above the field at which the slope of an edge ends, of the step


class Edge(NamedTuple):
    """A collimator edge left of the field, which is where x - slope * y >= c.

    Args:
        c: Position of the edge in pixels, past the penumbra.
        slope: Pixels to the right per row.
        length: Number of rows in which the edge is visible.
    """

    c: float
    slope: float
    length: int


def left_edge(image: Image, *, parallel_to: float | None = None) -> Edge | None:
    """Find the collimator edge that runs from top to bottom with the field on its right.

    Args:
        image: Attenuation in about [0, 1], float32, shape (H, W).
        parallel_to: The slope at which an edge is expected, because other sides have been found:
            only similar slopes are considered, and weaker evidence is enough. None considers all.

    Returns:
        The edge, or None if there is none.
    """
    step = _step(image)
    strictness = 1.0 if parallel_to is None else STRICTNESS_IF_EXPECTED
    for candidate in _candidates(step, _angles(parallel_to)):
        x, slope = _steepest(step, candidate)
        upright = _sheared(image, slope, border=math.nan)
        rows = _longest_run(upright, x)
        if rows.sum() >= MIN_LENGTH * len(rows) and _is_collimator(
            upright, x, rows, strictness=strictness
        ):
            foot = _inner_foot(_profile(upright[rows]), x)
            return Edge(foot - slope * (len(image) - 1) / 2, slope, int(rows.sum()))
    return None


def _step(image: Image) -> Image:
    """Return the mean of the STEP_PX pixels to the left minus that of those to the right."""
    box = np.repeat(np.array([1, 0, -1], np.float32) / STEP_PX, [STEP_PX, 1, STEP_PX])[None]
    return np.asarray(cv2.filter2D(image, -1, box, borderType=cv2.BORDER_REPLICATE), np.float32)


def _sheared(image: Image, slope: float, *, border: float, columns: slice | None = None) -> Image:
    """Shift the rows so that lines of this slope stand upright at their offset.

    Only some columns of the result are returned, if told which.
    """
    rows, width = image.shape
    left, right = (0, width) if columns is None else (columns.start, columns.stop)
    matrix = np.array([[1, slope, left - slope * (rows - 1) / 2], [0, 1, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (right - left, rows)
    return np.asarray(
        cv2.warpAffine(image, matrix, size, flags=flags, borderValue=border), np.float32
    )


def _mean_along(step: Image, slopes: Floats, columns: slice | None = None) -> Image:
    """Return the mean over the lines of each slope (first axis) and offset (second axis)."""
    sheared = (_sheared(step, slope, border=0, columns=columns) for slope in slopes)
    return np.stack([cv2.reduce(one, 0, cv2.REDUCE_AVG)[0] for one in sheared])


def _angles(parallel_to: float | None) -> Floats:
    """Return the angles from upright to consider, in radians, 1 degree apart."""
    if parallel_to is None:
        return np.radians(np.arange(-MAX_ANGLE_DEG, MAX_ANGLE_DEG + 1))
    return math.atan(parallel_to) + np.radians(np.arange(-2, 3))


def _candidates(step: Image, angles: Floats) -> Iterator[tuple[int, float]]:
    """Yield offsets and slopes in falling order of the step, two strips or more from each other.

    The step is capped, or a short edge of high contrast would outdo a long one.
    """
    slopes = np.tan(angles)
    scores = _mean_along(np.clip(step / (2 * MIN_STEP), -1, 1), slopes)
    for _ in range(NUM_CANDIDATES):
        j, x = divmod(int(np.argmax(scores)), scores.shape[1])
        if scores[j, x] < MIN_SCORE:
            return
        yield x, float(slopes[j])
        scores[:, max(0, x - 2 * STEP_PX) : x + 2 * STEP_PX] = -np.inf


def _steepest(step: Image, candidate: tuple[int, float]) -> tuple[int, float]:
    """Return the line of largest mean step within a strip's width of a candidate."""
    x, slope = candidate
    slopes = slope + np.linspace(-2 * STEP_PX, 2 * STEP_PX, 13) / len(step)
    left = max(0, x - STEP_PX)
    scores = _mean_along(step, slopes, slice(left, min(x + STEP_PX + 1, step.shape[1])))
    j, shift = divmod(int(np.argmax(scores)), scores.shape[1])
    return left + shift, float(slopes[j])


def _strips(upright: Image, x: int) -> tuple[Image, Image]:
    """Return the mean of each row just behind and just before column x of an upright image."""
    behind, before = upright[:, max(0, x - STEP_PX) : x], upright[:, x + 1 : x + 1 + STEP_PX]
    return _row_means(behind), _row_means(before)


def _row_means(strip: Image) -> Image:
    """Return the mean of what is not NaN in each row; NaN where all is."""
    seen = np.isfinite(strip)
    total, number = np.where(seen, strip, 0).sum(1), seen.sum(1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan).astype(np.float32)


def _longest_run(upright: Image, x: int) -> Mask:
    """Return the longest run of rows that show a step at column x, gaps up to 5 % closed.

    Other edges end the run where this one leaves the field.
    """
    behind, before = _strips(upright, x)
    step = cv2.blur(np.nan_to_num(behind - before)[:, None], (1, 9))
    gap = np.ones((2 * (len(upright) // 40) + 1, 1), np.uint8)
    shows = cv2.morphologyEx((step > MIN_STEP).astype(np.uint8), cv2.MORPH_CLOSE, gap)
    _, runs, stats, _ = cv2.connectedComponentsWithStats(shows)
    lengths = stats[:, cv2.CC_STAT_AREA]
    lengths[0] = 0
    return np.asarray((runs[:, 0] == np.argmax(lengths)) & (lengths.max() > 0))


def _is_collimator(upright: Image, x: int, rows: Mask, *, strictness: float) -> bool:
    """Return whether column x of an upright image is a collimator edge over `rows`."""
    behind, before = _strips(upright, x)
    steps = behind[rows] - before[rows]
    step, blocked = float(np.nanmedian(steps)), float(np.nanmedian(behind[rows]))
    if blocked < MIN_BLOCKED or np.mean(steps > MIN_STEP) < MIN_SUPPORT:
        return False
    beyond = ~rows & _well_inside(upright, x)
    if np.sum(before[beyond] < 0.8 * blocked) > MAX_PASSING * len(rows):
        return False
    background = upright[:, : max(1, x - STEP_PX // 2)]
    if np.mean(background[np.isfinite(background)] < 0.7 * blocked) > MAX_DARK:
        return False
    profile = _profile(upright[rows])
    return (
        _sharpness(profile, x) >= MIN_SHARPNESS * strictness
        and _fall(profile[max(0, x - FALL_PX) : x]) <= MAX_FALL / strictness * step
        and _texture(background) <= MAX_TEXTURE / strictness * step
    )


def _well_inside(upright: Image, x: int) -> Mask:
    """Return the rows in which column x is not about to leave the image on its left."""
    behind = x - STEP_PX // 2
    return np.isfinite(upright[:, behind]) if behind >= 0 else np.zeros(len(upright), np.bool_)


def _profile(rows: Image) -> Image:
    """Return the median of each column; NaN where fewer than half the rows are in the image."""
    profile = np.full(rows.shape[1], np.nan, np.float32)
    seen = np.isfinite(rows).mean(0) >= 0.5
    # np.nanmedian, which goes through masked arrays, does the same in three times the time.
    ordered, number = np.sort(rows[:, seen], axis=0), np.isfinite(rows[:, seen]).sum(0)
    middles = np.take_along_axis(ordered, np.stack([(number - 1) // 2, number // 2]), axis=0)
    profile[seen] = middles.mean(0)
    return profile


def _sharpness(profile: Image, x: int) -> float:
    """Return the step within STEP_PX of column x as a part of that within FAR_PX.

    It is near 1 for a sharp edge.
    """
    behind, before = profile[max(0, x - FAR_PX) : x], profile[x + 1 : x + 1 + FAR_PX]
    near = np.nanmean(behind[-STEP_PX:]) - np.nanmean(before[:STEP_PX])
    return float(near / max(float(np.nanmax(behind) - np.nanmin(before)), 1e-6))


def _fall(behind: Image) -> float:
    """Return the largest fall of the profile behind an edge, going away from it."""
    outward = behind[np.isfinite(behind)][::-1]
    return float(np.max(np.maximum.accumulate(outward) - outward, initial=0))


def _texture(background: Image) -> float:
    """Return the 95th percentile of the structure along an edge.

    Structure is what is finer than scatter and coarser than noise.
    """
    seen = np.isfinite(background)
    filled = np.where(seen, background, background[seen].mean())
    edge = cv2.BORDER_REPLICATE
    band = cv2.blur(filled, (5, 5), borderType=edge) - cv2.blur(filled, (5, 41), borderType=edge)
    return float(np.percentile(np.abs(band[seen]), 95))


def _inner_foot(profile: Image, x: int) -> float:
    """Move an edge to where its slope ends on the field's side: no penumbra stays in the field.

    In log attenuation the slope has a long tail, which the foot's height alone would cut short.
    """
    slope = profile[x : x + 2 * STEP_PX]
    low, high = np.nanmin(slope), np.nanmax(profile[max(0, x - STEP_PX) : x])
    width = float(np.argmax(slope <= low + FOOT * (high - low)))
    return x + 1.2 * width + 1
