"""What is in the beam besides the animal: collimator, marker and table.

These live in detector coordinates: millimetres from the middle of the detector, x to the right, y
down.
"""

import cv2
import numpy as np

from radenhance.arrays import Floats
from radenhance.phantoms.anatomy.canvas import Canvas, Window
from radenhance.phantoms.anatomy.shapes import Point

Reach = tuple[float, float, float, float]

PENUMBRA_MM = 0.9
"""Width in mm of the border of the field."""
LEAKAGE = 0.004
"""Fraction of the beam that passes the collimator's leaves."""
CLOSED_SHARE = 0.55
"""Fraction of closed sides, besides the one that always is closed."""
LEAD_CM = 0.1
TABLE_EDGE_SHARE = 0.35
"""Fraction of the tables whose edge crosses the image."""


def collimator(
    shape: tuple[int, int], spacing_mm: float, rng: np.random.Generator
) -> tuple[Floats, Reach]:
    """Return a slightly turned rectangular field with soft edges on one to four sides.

    Args:
        shape: Number of rows and columns.
        spacing_mm: Pixel size in mm.
        rng: Generator of sides and angle.

    Returns:
        The fraction of the beam that passes, float32, of the given shape; and the distance in mm
        from the middle to the left, top, right and bottom border of the field, which is beyond the
        detector on an open side.
    """
    rows, columns = shape
    half = np.array([columns, rows, columns, rows]) * spacing_mm / 2
    closed = rng.permutation([True, *(rng.random(3) < CLOSED_SHARE)])
    reach = np.where(closed, half * (1 - rng.uniform(0.015, 0.11, 4)), half * 1.5)
    left, top, right, bottom = reach.astype(np.float32)
    angle = np.deg2rad(rng.normal(0, 0.8))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x = (np.arange(columns, dtype=np.float32) - (columns - 1) / 2) * np.float32(spacing_mm)
    y = ((np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * np.float32(spacing_mm))[:, None]
    u, v = x * cosine + y * sine, y * cosine - x * sine
    inside = np.minimum(np.minimum(u + left, right - u), np.minimum(v + top, bottom - v))
    ramp = np.clip(inside / np.float32(PENUMBRA_MM) + np.float32(0.5), 0, 1)
    passed = np.float32(LEAKAGE) + np.float32(1 - LEAKAGE) * ramp * ramp * (3 - 2 * ramp)
    return passed.astype(np.float32), (float(left), float(top), float(right), float(bottom))


def put_marker(canvas: Canvas, letter: str, reach: Reach, rng: np.random.Generator) -> Window:
    """Put a lead letter into the emptiest corner of the field, and return its rows and columns.

    Args:
        canvas: The canvas to draw into; its pose is not used.
        letter: The letter, R or L.
        reach: Borders of the field in mm, from `collimator`.
        rng: Generator of size and angle.
    """
    height = float(rng.uniform(9, 14))
    rows, columns = canvas.water.shape
    half = np.array([columns, rows, columns, rows]) * canvas.spacing_mm / 2
    left, top, right, bottom = (np.minimum(reach, half) - 1.3 * height).tolist()
    places: list[Point] = [(-left, -top), (right, -top), (-left, bottom), (right, bottom)]
    place = min(places, key=lambda corner: _filling(canvas, corner, height))
    angle = float(rng.choice((0, 0, 90, -90)) + rng.normal(0, 5))
    lead = _letter(letter, height / canvas.spacing_mm, angle)
    window, first = _square(canvas, place, len(lead))
    size = [w.stop - w.start for w in window]
    part = lead[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
    canvas.exchange(window, part, "lead", "air")
    return _bounds(part, window)


def _bounds(lead: Floats, window: Window) -> Window:
    """Return the rows and columns in which there is lead; the whole window where there is none."""
    if not lead.any():
        return window
    found = [np.flatnonzero(lead.any(axis)) for axis in (1, 0)]
    row, column = (
        slice(part.start + int(places[0]), part.start + int(places[-1]) + 1)
        for part, places in zip(window, found, strict=True)
    )
    return row, column


def _square(canvas: Canvas, middle: Point, side: int) -> tuple[Window, tuple[int, int]]:
    """Return a square clipped to the detector, and where the clipped part begins in the square."""
    rows, columns = canvas.water.shape
    row = int(rows / 2 + middle[1] / canvas.spacing_mm - side / 2)
    column = int(columns / 2 + middle[0] / canvas.spacing_mm - side / 2)
    starts = min(max(row, 0), rows), min(max(column, 0), columns)
    stops = max(min(row + side, rows), starts[0]), max(min(column + side, columns), starts[1])
    window = slice(starts[0], stops[0]), slice(starts[1], stops[1])
    return window, (starts[0] - row, starts[1] - column)


def _filling(canvas: Canvas, middle: Point, size: float) -> float:
    window, _ = _square(canvas, middle, round(2 * size / canvas.spacing_mm))
    part = canvas.water[window]
    return float(part.mean()) if part.size else float("inf")


def _letter(letter: str, height: float, angle_deg: float) -> Floats:
    """Return the cm of lead of a letter with a height in pixels, in a square twice as wide."""
    side = int(2 * height) + 4
    image = np.zeros((side, side), np.uint8)
    font, width = cv2.FONT_HERSHEY_SIMPLEX, max(int(height * 0.15), 1)
    (_, unit), _ = cv2.getTextSize(letter, font, 1.0, 1)
    (wide, _), _ = cv2.getTextSize(letter, font, height / unit, width)
    origin = ((side - wide) // 2, (side + int(height)) // 2)
    cv2.putText(image, letter, origin, font, height / unit, 255, width, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle_deg, 1)
    turned = cv2.warpAffine(image, turn, (side, side))
    return turned.astype(np.float32) * np.float32(LEAD_CM / 255)


def put_table(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cover the detector with the table top up to its edge, which may cross the image."""
    water = canvas.water
    thickness, edge = np.float32(rng.uniform(0.25, 0.6)), len(water)
    if rng.random() < TABLE_EDGE_SHARE:
        edge = int(edge * rng.uniform(0.9, 0.99))
        lip = max(int(2.5 / canvas.spacing_mm), 1)
        water[edge - lip : edge] += np.float32(0.8)
    water[:edge] += thickness
