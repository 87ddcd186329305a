"""Whether a target lies on its raw image: equal sizes do not tell.

Viewers turn and mirror what they export, and a square detector hides it; others cut off a border
and fill the other one up. A target that lies on its raw image in another of the eight orientations,
or beside it, is told with what fits; one that fits in none is that of another radiograph, or holds
no image.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from radenhance.arrays import Image
from radenhance.prepare.check.alignment import (
    LEAST_CORRELATION,
    Alignment,
    Orientation,
    align,
    likeness_by_orientation,
)

SURELY_IN_PLACE = 0.9
"""Correlation from which no other orientation is tried."""
LARGEST_SHIFT_PX = 0.5
"""Of a target that counts as in place."""
LARGEST_REGISTERED = 0.05
"""Shift that is undone, as a fraction of the shorter side; beyond it too much has no target."""
WHOLE_PX = 0.1
"""Distance from whole pixels that is the error of measuring them."""


@dataclass(frozen=True)
class Placement:
    """How a target lies on its raw image.

    Args:
        orientation: The one of eight in which both have most in common.
        alignment: Their alignment once the target has been turned back.
    """

    orientation: Orientation
    alignment: Alignment

    @property
    def is_turned(self) -> bool:
        """Whether the target is turned or mirrored."""
        return self.orientation != Orientation()

    @property
    def is_shifted(self) -> bool:
        """Whether the target, once turned back, lies beside its raw image."""
        return self.alignment.distance > LARGEST_SHIFT_PX

    def undone(self, target: Image) -> Image:
        """Return a target turned back, and moved onto its raw image; its border fills what opens.

        Args:
            target: The target, in [0, 1].
        """
        image = self.orientation.undone(target)
        if not self.is_shifted:
            return image
        # Whole pixels are moved as they are: nothing is blurred for an error of measuring.
        rows, columns = (
            round(s) if abs(s - round(s)) <= WHOLE_PX else s for s in self.alignment.shift
        )
        moved = cv2.warpAffine(
            image,
            np.array([[1, 0, columns], [0, 1, rows]], np.float64),
            image.shape[::-1],
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.clip(moved, 0, 1)


def placement_of(raw: Image, target: Image) -> Placement | None:
    """Return how a target lies on its raw image; None where it fits in none of eight ways.

    Args:
        raw: The raw image, shape (rows, columns), in [0, 1].
        target: The target, in [0, 1].
    """
    here = align(raw, target) if target.shape == raw.shape else None
    if here and abs(here.correlation) >= SURELY_IN_PLACE:  # animals are symmetric, but not as much
        return Placement(Orientation(), here)
    for best, correlation in likeness_by_orientation(raw, target).items():
        if abs(correlation) < LEAST_CORRELATION:
            return None
        if here and best == Orientation():
            return Placement(best, here)
        return Placement(best, align(raw, best.undone(target)))
    return None  # of another shape in all of them


def fault_of_geometry(
    raw_shape: tuple[int, ...], shape: tuple[int, ...], placement: Placement | None
) -> str:
    """Return why a target shows its raw image in no way that `undone` mends, as a predicate.

    Args:
        raw_shape: Rows and columns of the raw image.
        shape: Rows and columns of the target.
        placement: How it lies on its raw image, as `placement_of` says.
    """
    if shape not in (raw_shape, raw_shape[::-1]):
        return f"has {shape} rows and columns, its raw image {raw_shape}; export both uncropped"
    if placement is None:
        return (
            "fits its raw image in none of eight orientations: it is that of another radiograph, "
            "or empty"
        )
    if (correlation := placement.alignment.correlation) <= -LEAST_CORRELATION:
        return (
            f"is INVERTED against its raw image (correlation {correlation:.2f}): what is bright in "
            "one is dark in the other; correct the file, or what dataset.yaml declares about it"
        )
    distance, most = placement.alignment.distance, LARGEST_REGISTERED * min(raw_shape)
    if placement.is_shifted and distance > most:
        return (
            f"{_told(placement)} against its raw image, which is more than the {most:.0f} pixels "
            "that are moved back; export both uncropped"
        )
    return ""


def what_to_undo(placement: Placement, *, turn: bool = False, register: bool = False) -> str:
    """Return how a target lies that is to be turned or moved, as a predicate; else nothing.

    Args:
        placement: How the target lies on its raw image.
        turn: Whether turned targets are turned back.
        register: Whether shifted targets are moved back.
    """
    flags = ["--turn-targets"] if placement.is_turned else []
    flags += ["--register-targets"] if placement.is_shifted else []
    allowed = {"--turn-targets": turn, "--register-targets": register}
    if all(allowed[flag] for flag in flags):
        return ""
    return (
        f"{_told(placement)} against its raw image; export both alike, or have it undone with: "
        f"radenhance prepare {' '.join(flags)}"
    )


def _told(placement: Placement) -> str:
    rows, columns = placement.alignment.shift
    told = [f"is {placement.orientation}"] if placement.is_turned else []
    told += [f"is shifted by {rows:+.2f} rows and {columns:+.2f} columns"] * placement.is_shifted
    return ", and ".join(told)
