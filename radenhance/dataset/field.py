"""The exposed field of a radiograph: the convex area inside straight collimator edges.

Enhancing the jump at a collimator edge would draw a bright rim along it, and percentiles taken over
the dark side would describe the collimator, so the field is found before anything else.
`radenhance.dataset.collimator_edge` says which edges are believed; one that is not found stays in
the image.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image, Mask, Points
from radenhance.dataset.collimator_edge import Edge, left_edge

THUMBNAIL_SIDE = 512
MAX_SLOPE_DIFFERENCE = 0.05  # of edges of one rectangular shutter, about 3 degrees
MIN_FIELD = 0.02  # area of the field, of the image
MIN_PATIENT = 0.1  # area of what is not air, of the field
AIR = 0.1  # brightness of air, of the thumbnail's range


FEATHER_PX = 8.0
"""Width of the soft edge inside the field, in pixels of the file: that of the targets' shutter."""

OPAQUE = 255
"""What `FieldWeights` gives inside the field."""


@dataclass(frozen=True)
class _HalfPlane:
    """Points (x, y) with a * x + b * y >= c."""

    a: float
    b: float
    c: float

    def distance(self, points: Points) -> npt.NDArray[np.float64]:
        return np.asarray(points @ np.array([self.a, self.b]) - self.c, np.float64)

    def crosses(self, shape: tuple[int, int]) -> bool:
        """Return whether a pixel of an image is outside."""
        right, bottom = shape[1] - 1, shape[0] - 1
        ends = np.array([(0, 0), (right, 0), (right, bottom), (0, bottom)], np.float64)
        return bool((self.distance(ends) < 0).any())


def find_field(attenuation: Image, *, valid: Mask | None = None) -> Points:
    """Find the corners of the exposed field.

    Args:
        attenuation: Log attenuation, float32, shape (H, W); a higher value is more attenuation.
        valid: Pixels that show the image, bool, same shape; None means all.

    Returns:
        Corners (x, y) of a convex polygon in pixels, shape (num_corners, 2); pixel centres are
        whole numbers. It is the bounding box of the valid area if no collimator edge is found.
    """
    left, top, right, bottom = _bounding_box(attenuation, valid)
    thumbnail = _thumbnail(
        attenuation[top:bottom, left:right],
        None if valid is None else valid[top:bottom, left:right],
    )
    rows, columns = thumbnail.shape
    field = box = _rectangle(columns, rows)
    for turns, edge in _edges(thumbnail).items():
        half_plane = _HalfPlane(1, -edge.slope, edge.c)
        field = _clip(field, _turned_back(half_plane, turns, (rows, columns)))
    if not _shows_patient(thumbnail, field):
        field = box
    scale = np.array([(right - left) / columns, (bottom - top) / rows])
    full_size: Points = (field + 0.5) * scale - 0.5 + np.array([left, top])
    return full_size


def field_mask(corners: Points, shape: tuple[int, ...]) -> Mask:
    """Fill a convex polygon.

    Args:
        corners: Corners (x, y) in pixels, shape (num_corners, 2).
        shape: Rows and columns of the mask.

    Returns:
        The mask, bool, True inside the polygon.
    """
    bits = 4  # OpenCV's fixed-point corners: 1/16 pixel
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.round(corners * (1 << bits)).astype(np.int32), 1, shift=bits)
    return np.asarray(mask, np.bool_)


@dataclass(frozen=True)
class FieldWeights:
    """How much of each pixel is in the exposed field; computed where it is asked for.

    weights = FieldWeights(corners, native_shape=(4188, 4188), shape=(512, 512))
    weights[rows, columns]

    They are 0 outside and rise to 255 over the first 8 pixels inside, or over one pixel of a
    smaller image, so that no hard edge is there to be enhanced.

    Args:
        corners: Corners (x, y) of the field in pixels of the file, as `find_field` returns them;
            none for a field that is the whole image.
        native_shape: Rows and columns of the file.
        shape: Rows and columns of the weights, those of the file or of the image made of it.
    """

    corners: Points
    native_shape: tuple[int, int]
    shape: tuple[int, int]

    def __getitem__(self, area: tuple[slice, slice]) -> npt.NDArray[np.uint8]:
        """Return the weights of some rows and columns, uint8, as a new array."""
        (rows, columns), (native_rows, native_columns) = self.shape, self.native_shape
        scale = np.array([columns / native_columns, rows / native_rows])
        corners = (self.corners + 0.5) * scale - 0.5
        feather = FEATHER_PX * float(scale.min())
        first = 0.5 * float(scale.min()) if feather > 1 else 0.5  # of a pixel just inside
        feather = max(feather, 1.0)
        y, x = (np.arange(n, dtype=np.float32)[p] for n, p in zip(self.shape, area, strict=True))
        weights = np.full((len(y), len(x)), OPAQUE, np.float32)
        for edge in _half_planes(corners):
            if not edge.crosses(self.shape):
                continue
            inward = edge.a * x[None] + (edge.b * y - edge.c + first)[:, None]
            np.minimum(weights, inward * (OPAQUE / feather), out=weights)
        rounded: npt.NDArray[np.uint8] = np.rint(weights.clip(0)).astype(np.uint8)
        return rounded


def fills(corners: Points, shape: tuple[int, ...]) -> bool:
    """Return whether a field is the whole image, as where no collimator edge was found."""
    rows, columns = shape
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool((low <= 0).all() and high[0] >= columns - 1 and high[1] >= rows - 1) and bool(
        field_mask(corners, shape).all()
    )


def _half_planes(corners: Points) -> list[_HalfPlane]:
    """Return the half-planes, with unit normals, whose common part a convex polygon is."""
    if not len(corners):
        return []
    middle = corners.mean(axis=0)
    edges = []
    for (x, y), (next_x, next_y) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = float(np.hypot(next_x - x, next_y - y))
        if length < 1e-6:
            continue
        edge = _HalfPlane((y - next_y) / length, (next_x - x) / length, 0.0)
        offset = float(edge.distance(np.array([x, y])))
        turned = -1 if float(edge.distance(middle)) < offset else 1
        edges.append(_HalfPlane(turned * edge.a, turned * edge.b, turned * offset))
    return edges


def _bounding_box(image: Image, valid: Mask | None) -> tuple[int, int, int, int]:
    if valid is None or not valid.any():
        return 0, 0, image.shape[1], image.shape[0]
    left, top, width, height = cv2.boundingRect(valid.view(np.uint8))
    return left, top, left + width, top + height


def _thumbnail(attenuation: Image, valid: Mask | None) -> Image:
    """Return at most 512 x 512 pixels, 0 and 1 at the 1st and 99.5th percentile.

    What is not valid counts as blocked by the collimator.
    """
    scale = max(1.0, max(attenuation.shape) / THUMBNAIL_SIDE)
    rows, columns = (max(1, round(side / scale)) for side in attenuation.shape)
    small = np.asarray(
        cv2.resize(attenuation, (columns, rows), interpolation=cv2.INTER_AREA), np.float32
    )
    if valid is not None:
        seen = np.asarray(cv2.resize(valid.view(np.uint8), (columns, rows))) > 0
        small[~seen] = small[seen].max(initial=small.min())
    low, high = np.percentile(small, (1, 99.5))
    return np.asarray(np.clip((small - low) / max(high - low, 1e-6), 0, 1), np.float32)


def _edges(thumbnail: Image) -> dict[int, Edge]:
    """Return edges by the number of quarter turns that bring them to the left.

    Shutters are rectangular, so all edges have the slope of the longest. A side that disagrees, or
    is not clear enough by itself, as where dense anatomy touches it, is looked for again with that
    slope known.
    """
    turned = [np.ascontiguousarray(np.rot90(thumbnail, turns)) for turns in range(4)]
    edges = [left_edge(image) for image in turned]
    longest = max((edge for edge in edges if edge), key=lambda edge: edge.length, default=None)
    if longest is None:
        return {}
    for turns, edge in enumerate(edges):
        if edge is None or abs(edge.slope - longest.slope) > MAX_SLOPE_DIFFERENCE:
            edges[turns] = left_edge(turned[turns], parallel_to=longest.slope)
    return {turns: edge for turns, edge in enumerate(edges) if edge}


def _shows_patient(thumbnail: Image, field: Points) -> bool:
    """Return whether a field has a believable size and is not just the air beside a skin line."""
    inside = thumbnail[field_mask(field, thumbnail.shape)]
    return bool(inside.size >= MIN_FIELD * thumbnail.size and np.mean(inside > AIR) >= MIN_PATIENT)


def _turned_back(edge: _HalfPlane, turns: int, shape: tuple[int, int]) -> _HalfPlane:
    """Return a half-plane as it was before `turns` quarter turns (np.rot90) of the image.

    Args:
        edge: The half-plane in the turned image.
        turns: Number of quarter turns.
        shape: Rows and columns of the image before it was turned.
    """
    for turn in reversed(range(turns)):
        last = shape[(turn + 1) % 2] - 1  # a quarter turn takes (x, y) to (y, last - x)
        edge = _HalfPlane(-edge.b, edge.a, edge.c - edge.b * last)
    return edge


def _clip(corners: Points, edge: _HalfPlane) -> Points:
    """Cut a convex polygon with a half-plane (Sutherland and Hodgman, 1974)."""
    kept: list[npt.NDArray[np.float64]] = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        before, after = edge.distance(start), edge.distance(end)
        if before >= 0:
            kept.append(start)
        if (before >= 0) != (after >= 0):
            kept.append(start + (end - start) * before / (before - after))
    return np.array(kept, np.float64).reshape(-1, 2)


def _rectangle(columns: int, rows: int) -> Points:
    right, bottom = columns - 0.5, rows - 0.5
    return np.array([(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)])
