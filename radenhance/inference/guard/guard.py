"""The guard: whether an output may be shown, where to look, and how sure its pixels are.

Thresholds belong to one network: how much of a difference is chance depends on how it enhances.
Without a calibration they are set by hand for networks of quickstart.yaml, and there are no
intervals.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Image
from radenhance.dataset.prediction import PredictAt
from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.inference.guard.bands import OCTAVES, Box, differences
from radenhance.inference.guard.intervals import widths
from radenhance.text_files import read_text

FORMAT = "radenhance guard 3"
MAX_BYTES = 2**16
THRESHOLDS = (4.0, 4.5, 4.0)
"""Score from which a difference of each octave is a box, of a network without a calibration."""
SUPPOSED_MM = 0.15
"""Pixel size of a file that does not say it."""
COLORS = {"invented": (255, 64, 64), "erased": (64, 160, 255)}
"""Red, green and blue of the boxes of a kind."""


@dataclass(frozen=True)
class Calibration:
    """What the validation images of one network say.

    Args:
        checkpoint_sha256: SHA-256 of its checkpoint, in hex.
        thresholds: Score from which a difference is a box, for each octave, finest first.
        factor: What the intervals' widths are multiplied by, over all species.
        at: The size at which the network saw the images.
        factors: The same by species.
        num_images: Validation images by species.
    """

    checkpoint_sha256: str
    thresholds: list[float]
    factor: float
    at: PredictAt
    factors: dict[str, float] = field(default_factory=dict)
    num_images: dict[str, int] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON; it names no case.

        Raises:
            RadenhanceError: The disk is full, or the folder is missing or cannot be written to.
        """
        replace_file(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=2).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` wrote.

        Raises:
            UsageError: The file is not there, or is no calibration of the guard.
        """
        try:
            values: dict[str, Any] = json.loads(
                read_text(path, max_bytes=MAX_BYTES, error=UsageError)
            )
            found = values.pop("format")
            calibration = cls(**values)
            scores = calibration.thresholds
            numbers = [*scores, calibration.factor, *calibration.factors.values()]
            fits = found == FORMAT and all(0 < float(number) < float("inf") for number in numbers)
            fits = fits and len(scores) == OCTAVES
            fits = fits and calibration.at in get_args(PredictAt)
        except (ValueError, TypeError, KeyError, AttributeError):
            fits = False
        if not fits:
            raise UsageError(
                f"{path} is no calibration of the guard; make one with `radenhance guard`"
            )
        return calibration


@dataclass(frozen=True)
class Verdict:
    """What the guard says of one output.

    Args:
        boxes: Structures that only one of source and output has, highest score first.
        mean_width: Mean half-width of the intervals in unit values; None without a calibration.
        sentence: All of it in printable ASCII.
    """

    boxes: list[Box]
    mean_width: float | None
    sentence: str

    @property
    def num_invented(self) -> int:
        """Number of structures that the output alone has."""
        return sum(box.kind == "invented" for box in self.boxes)

    @property
    def num_erased(self) -> int:
        """Number of structures that the source alone has."""
        return sum(box.kind == "erased" for box in self.boxes)

    @property
    def accepted(self) -> bool:
        """Whether there is no box."""
        return not self.boxes


class Guard:
    """Judges outputs of one network.

    Args:
        calibration: What its validation images say; None for thresholds of another network.
    """

    def __init__(self, calibration: Calibration | None = None) -> None:
        self.calibration = calibration

    @classmethod
    def open(
        cls,
        path: Path | None,
        *,
        checkpoint_sha256: str | None = None,
        at: PredictAt | None = None,
    ) -> Self:
        """Return the guard with a calibration.

        Args:
            path: The file; None for a guard without a calibration.
            checkpoint_sha256: SHA-256 of the checkpoint that it is to guard, in hex; None does not
                compare it.
            at: The size at which the checkpoint sees radiographs; None does not compare it.

        Raises:
            UsageError: The file is no calibration, or that of another checkpoint or size.
        """
        calibration = None if path is None else Calibration.read(path)
        if calibration and checkpoint_sha256 not in (None, calibration.checkpoint_sha256):
            raise UsageError(
                f"{path} calibrates the guard for the checkpoint {calibration.checkpoint_sha256}, "
                f"got the checkpoint {checkpoint_sha256}; make one with `radenhance guard`"
            )
        if calibration and at not in (None, calibration.at):
            raise UsageError(
                f"{path} calibrates the guard for --at {calibration.at}, got --at {at}; make one "
                f"with `radenhance guard --at {at}`"
            )
        return cls(calibration)

    def judge(
        self,
        source: Image,
        enhanced: Image,
        spacing_mm: tuple[float, float] | float | None,
        field: npt.NDArray[np.uint8] | None = None,
        *,
        species: str | None = None,
    ) -> Verdict:
        """Return what is to be said of an output.

        Args:
            source: The image as the network saw it, in about [0, 1].
            enhanced: The output, same shape, in [0, 1].
            spacing_mm: Pixel size in mm, or that of rows and columns; None where the file does not
                say it.
            field: How much of each pixel is in the exposed field, 0 to 255; None for all.
            species: Species, whose factor the intervals have if there is one.
        """
        size = pixel_mm(spacing_mm)
        inside = None if field is None else field > 127
        found = differences(source, enhanced, spacing_mm=size, inside=inside)
        calibration = self.calibration
        boxes = found.boxes(calibration.thresholds if calibration else THRESHOLDS)
        width = None
        if calibration:
            times = calibration.factors.get(species or "", calibration.factor)
            width = times * float(widths(source, enhanced, size).mean())
        return Verdict(boxes, width, _sentence(boxes, width, sized=spacing_mm is not None))


def pixel_mm(spacing_mm: tuple[float, float] | float | None) -> float:
    """Return the pixel size in mm to reckon with."""
    return float(np.mean(spacing_mm)) if spacing_mm else SUPPOSED_MM


def draw(verdict: Verdict, enhanced: Image) -> npt.NDArray[np.uint8]:
    """Return the output with its boxes, invented ones red and erased ones blue.

    Args:
        verdict: What the guard said.
        enhanced: The output, in [0, 1].

    Returns:
        Red, green and blue, uint8, shape (rows, columns, 3).
    """
    grey = (enhanced.clip(0, 1) * 255).round().astype(np.uint8)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    line = max(round(max(grey.shape) / 600), 1)
    for box in verdict.boxes:
        corners = (box.left - line, box.top - line), (box.right + line, box.bottom + line)
        cv2.rectangle(picture, *corners, COLORS[box.kind], line)
    return np.asarray(picture, np.uint8)


def _sentence(boxes: list[Box], width: float | None, *, sized: bool) -> str:
    invented = sum(box.kind == "invented" for box in boxes)
    found = "no structure of 1 to 3 mm that only source or output has"
    if boxes:
        found = f"{invented} invented and {len(boxes) - invented} erased structures of 1 to 3 mm"
    parts = [f"Guard: {found}"]
    if width is None:
        parts.append("not calibrated for this checkpoint")
    else:
        parts.append(f"intervals of 90 % have a mean half-width of {width:.3f} of full scale")
    if not sized:
        parts.append(f"the file has no pixel size, {SUPPOSED_MM:g} mm is supposed")
    return "; ".join(parts)
