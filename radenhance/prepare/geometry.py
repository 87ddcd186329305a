"""Whether a target lies on its raw image: equal sizes do not tell.

Viewers turn and mirror what they export, and a square detector hides it. A target that lies on its
raw image in another of the eight orientations is told with that one; one that fits in none is that
of another radiograph, or holds no image.
"""

from radenhance.arrays import Image
from radenhance.prepare.check.alignment import (
    LEAST_CORRELATION,
    Orientation,
    align,
    likeness_by_orientation,
)

SURELY_IN_PLACE = 0.9
"""Correlation from which no other orientation is tried."""


def orientation_of(raw: Image, target: Image) -> Orientation | None:
    """Return how a target lies on its raw image; None where it fits in none of eight ways.

    Args:
        raw: The raw image, shape (rows, columns), in [0, 1].
        target: The target, in [0, 1].
    """
    for best, correlation in likeness_by_orientation(raw, target).items():
        return best if abs(correlation) >= LEAST_CORRELATION else None
    return None  # of another shape in all of them


def fault_of_geometry(raw: Image, target: Image, *, likeness: float | None = None) -> str:
    """Return why a target does not lie on its raw image, as a predicate; empty where it does.

    Args:
        raw: The raw image, shape (rows, columns), in [0, 1].
        target: The target, in [0, 1].
        likeness: Their correlation, as `align` gives it, where it is known.
    """
    if target.shape not in (raw.shape, raw.shape[::-1]):
        return (
            f"has {target.shape} rows and columns, its raw image {raw.shape}; export both uncropped"
        )
    if target.shape == raw.shape:
        known = align(raw, target).correlation if likeness is None else likeness
        if abs(known) >= SURELY_IN_PLACE:  # animals are symmetric, but not as much
            return ""
    found = orientation_of(raw, target)
    if found is None:
        return (
            "fits its raw image in none of eight orientations: it is that of another radiograph, "
            "or empty"
        )
    if found == Orientation():
        return ""
    return (
        f"is {found} against its raw image; export both alike, or turn targets back with: "
        "radenhance prepare --turn-targets"
    )
