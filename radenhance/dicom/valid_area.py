"""The part of a DICOM image that is image: neither padding nor behind a collimator or shutter.

Padding (PS3.3 C.7.5.1.1.2) is declared by value, collimators (C.8.7.3) and display shutters
(C.7.6.11) by geometry: rows and columns counted from 1, the named edge included. Devices fill in
geometry carelessly, in millimetres or from another origin (a file of pydicom-data has columns from
-184 to 184), so a shape is believed only where it lies in the image and leaves a fair part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger

import numpy as np
import numpy.typing as npt

from radenhance.arrays import Mask
from radenhance.dicom.attributes import Attributes, or_unknown, tag_name
from radenhance.dicom.pixel_format import PixelFormat
from radenhance.errors import RadiographError

_log = getLogger(__name__)


MIN_AREA = 0.1
"""Smallest part of the image that a believable collimator or shutter leaves open."""

_MAX_VERTICES = 1000


@dataclass(frozen=True)
class _Aperture:
    """Keywords of a collimator or a shutter."""

    shape: str
    edges: tuple[str, str, str, str]  # left, right, upper, lower
    center: str
    radius: str
    vertices: str


_APERTURES = (
    _Aperture(
        "CollimatorShape",
        (
            "CollimatorLeftVerticalEdge",
            "CollimatorRightVerticalEdge",
            "CollimatorUpperHorizontalEdge",
            "CollimatorLowerHorizontalEdge",
        ),
        "CenterOfCircularCollimator",
        "RadiusOfCircularCollimator",
        "VerticesOfThePolygonalCollimator",
    ),
    _Aperture(
        "ShutterShape",
        (
            "ShutterLeftVerticalEdge",
            "ShutterRightVerticalEdge",
            "ShutterUpperHorizontalEdge",
            "ShutterLowerHorizontalEdge",
        ),
        "CenterOfCircularShutter",
        "RadiusOfCircularShutter",
        "VerticesOfThePolygonalShutter",
    ),
)


def valid_area(
    attributes: Attributes,
    layout: PixelFormat,
    *,
    container: npt.NDArray[np.uint16],
    stored: npt.NDArray[np.uint16],
) -> Mask | None:
    """Return the pixels that are neither padding nor behind a collimator or shutter.

    Args:
        attributes: The image's elements.
        layout: The image's pixel format.
        container: The containers, uint16, shape (rows, columns).
        stored: The stored values, same shape.

    Returns:
        The mask, bool, shape (rows, columns); None when it is True everywhere.

    Raises:
        RadiographError: Nothing is left.
    """
    masks = [
        mask
        for mask in (_aperture(attributes, layout, kind) for kind in _APERTURES)
        if mask is not None
    ]
    padding = _padding(attributes, layout, container=container, stored=stored)
    if padding is not None:
        masks.append(~padding)
    if not masks:
        return None
    valid: Mask = np.logical_and.reduce(masks)
    if not valid.any():
        raise RadiographError(
            f"{attributes.path}: every pixel is padding, or outside the collimator or shutter that "
            "the header declares"
        )
    return None if valid.all() else valid


def _padding(
    attributes: Attributes,
    layout: PixelFormat,
    *,
    container: npt.NDArray[np.uint16],
    stored: npt.NDArray[np.uint16],
) -> Mask | None:
    value = or_unknown(attributes.integer, "PixelPaddingValue", None)
    if value is None:
        return None
    limit = or_unknown(attributes.integer, "PixelPaddingRangeLimit", None)
    ends = [_pixel_value(end, layout) for end in (value, value if limit is None else limit)]
    low, high = min(ends) + layout.offset, max(ends) + layout.offset
    if low >= 0 and high < 1 << layout.stored:
        return _between(stored, low, high)
    # A value that the stored bits cannot hold, 65535 with 12 bits say, was written to the whole
    # container: there it can be told from a saturated pixel.
    low, high = sorted(end % (1 << layout.allocated) for end in ends)
    mask = (1 << layout.allocated) - 1
    return _between(container & np.uint16(mask), low, high)


def _pixel_value(value: int, layout: PixelFormat) -> int:
    # The element may be typed signed or unsigned against the pixels' own type.
    value %= 1 << layout.allocated
    negative = layout.signed and value >= 1 << (layout.allocated - 1)
    return value - (1 << layout.allocated) if negative else value


def _between(values: npt.NDArray[np.uint16], low: int, high: int) -> Mask:
    return (values >= np.uint16(low)) & (values <= np.uint16(high))


def _aperture(attributes: Attributes, layout: PixelFormat, kind: _Aperture) -> Mask | None:
    shapes = or_unknown(attributes.text, kind.shape, "").upper()
    if not shapes:
        return None
    shape = layout.rows, layout.columns
    masks = [_opening(attributes, shape, kind, name) for name in shapes.split("\\")[:3]]
    known = [mask for mask in masks if mask is not None]
    mask: Mask | None = np.logical_and.reduce(known) if len(known) == len(masks) else None
    if mask is None or np.count_nonzero(mask) < MIN_AREA * mask.size:
        _log.warning(
            "%s: %s is %s but does not lie in the image of %d rows and %d columns, or leaves less "
            "than %d %% of it; it is ignored",
            attributes.path,
            tag_name(kind.shape),
            shapes,
            *shape,
            100 * MIN_AREA,
        )
        return None
    return mask


def _opening(
    attributes: Attributes, shape: tuple[int, int], kind: _Aperture, name: str
) -> Mask | None:
    if name == "RECTANGULAR":
        edges = [or_unknown(attributes.integer, keyword, None) for keyword in kind.edges]
        return _rectangle(shape, edges)
    if name == "CIRCULAR":
        center = or_unknown(attributes.integers, kind.center, ())
        return _circle(shape, center, or_unknown(attributes.integer, kind.radius, None))
    if name == "POLYGONAL":
        return _polygon(shape, or_unknown(attributes.integers, kind.vertices, ()))
    return None


def _rectangle(shape: tuple[int, int], edges: Sequence[int | None]) -> Mask | None:
    known = [edge for edge in edges if edge is not None]
    if len(known) < 4:
        return None
    left, right, upper, lower = known
    # Edges may lie on the pixel next to the image.
    if not (0 <= left < right <= shape[1] + 1 and 0 <= upper < lower <= shape[0] + 1):
        return None
    mask = np.zeros(shape, dtype=np.bool_)
    mask[max(0, upper - 1) : lower, max(0, left - 1) : right] = True
    return mask


def _circle(shape: tuple[int, int], center: Sequence[int], radius: int | None) -> Mask | None:
    if len(center) != 2 or radius is None or not 0 < radius <= sum(shape):
        return None
    row, column = center
    if not (1 <= row <= shape[0] and 1 <= column <= shape[1]):
        return None
    rows, columns = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)


def _polygon(shape: tuple[int, int], vertices: Sequence[int]) -> Mask | None:
    """Fill by the even-odd rule: a pixel is inside if an odd number of edges are left of it.

    An edge through a pixel's centre counts as left of it. So neighbouring polygons share no pixel,
    as they would with cv2.fillPoly, which draws the outline too.
    """
    points = np.asarray(vertices, dtype=np.float64)
    if points.size % 2 or not 6 <= points.size <= 2 * _MAX_VERTICES:
        return None
    ends = points.reshape(-1, 2)  # row, column
    if ends.min() < 0 or (ends > np.add(shape, 1)).any():
        return None
    crossings = np.zeros((shape[0], shape[1] + 1), dtype=np.uint8)
    rows = np.arange(1, shape[0] + 1)
    for (row, column), (next_row, next_column) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        crossed = np.flatnonzero((rows >= min(row, next_row)) & (rows < max(row, next_row)))
        along = (rows[crossed] - row) / (next_row - row) if crossed.size else np.empty(0)
        first_inside = np.ceil(column + along * (next_column - column)) - 1
        crossings[crossed, np.clip(first_inside, 0, shape[1]).astype(int)] ^= 1
    parity = np.bitwise_xor.accumulate(crossings, axis=1)[:, :-1]
    return parity.astype(np.bool_)
