"""A sheet of small images with captions, for a person to judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.files import replace_file
from radenhance.foreign_text import LONGEST_NAME, one_line

TILE = 360
CAPTION = 26
GAP = 8
BACKGROUND, INK = 32, 230
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.5


@dataclass(frozen=True)
class Row:
    """Images side by side under one title.

    Args:
        title: The line of text above the images.
        images: The images, each in [0, 1], shape (H, W); 0 is black and 1 white, and nothing is
            stretched, so that a washed-out image looks washed out.
        captions: The lines of text below the images, one per image. Of one that is wider than its
            image, the middle is cut out: names of runs end in their numbers.
    """

    title: str
    images: Sequence[npt.NDArray[np.floating]]
    captions: Sequence[str]


def contact_sheet(rows: Sequence[Row]) -> npt.NDArray[np.uint8]:
    """Return the sheet as grey values, uint8, shape (H, W)."""
    width = max(len(row.images) for row in rows) * (TILE + GAP) + GAP
    strips = [_strip(row, width) for row in rows]
    return np.concatenate(strips, axis=0)


def write_contact_sheet(path: Path, rows: Sequence[Row]) -> None:
    """Write the sheet as an 8-bit PNG.

    Args:
        path: The file to write; an existing one is replaced.
        rows: The rows of the sheet, from top to bottom.

    Raises:
        RadenhanceError: The disk is full, or the folder is missing or cannot be written to.
    """
    replace_file(path, contact_sheet_png(rows))


def contact_sheet_png(rows: Sequence[Row]) -> bytes:
    """Return the sheet as the content of an 8-bit PNG file."""
    _, encoded = cv2.imencode(".png", contact_sheet(rows))
    return encoded.tobytes()


def _strip(row: Row, width: int) -> npt.NDArray[np.uint8]:
    height = 2 * CAPTION + TILE + GAP
    strip = np.full((height, width), BACKGROUND, dtype=np.uint8)
    _write(strip, row.title, left=GAP, bottom=CAPTION - 8)
    for i, (image, caption) in enumerate(zip(row.images, row.captions, strict=True)):
        left = GAP + i * (TILE + GAP)
        tile = _fit(image)
        top = CAPTION + (TILE - tile.shape[0]) // 2
        inset = left + (TILE - tile.shape[1]) // 2
        strip[top : top + tile.shape[0], inset : inset + tile.shape[1]] = tile
        _write(strip, _cut(caption), left=left, bottom=CAPTION + TILE + CAPTION - 8)
    return strip


def _fit(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    rows, columns = image.shape
    scale = TILE / max(rows, columns)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(image.astype(np.float32), size, interpolation=method)
    return (np.clip(small, 0, 1) * 255).round().astype(np.uint8)


def _cut(caption: str) -> str:
    """Return a caption without as much of its middle as is wider than an image."""
    kept = min(len(caption), LONGEST_NAME)
    while cv2.getTextSize(one_line(caption, kept), FONT, SIZE, 1)[0][0] > TILE:
        kept -= 1
    return one_line(caption, kept)


def _write(strip: npt.NDArray[np.uint8], text: str, *, left: int, bottom: int) -> None:
    cv2.putText(strip, one_line(text), (left, bottom), FONT, SIZE, INK, 1, cv2.LINE_AA)
