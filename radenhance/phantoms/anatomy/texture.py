"""Trabecular texture: noise whose power falls as 1 / frequency^beta, between two scales.

Trabeculae are finer than a table of points could say. Their power spectrum is known, and it is what
a loss of detail is measured by.
"""

import cv2
import numpy as np

from radenhance.arrays import Floats

PITCH_MM = 0.1
TILE_MM = 51.2
COARSEST_MM = 6.0


def power_law_tile(
    rng: np.random.Generator, *, spacing_mm: float, beta: float = 2.6, stretch: float = 1.0
) -> Floats:
    """Return one period of a texture with mean 0, and variance 1 at a pitch of 0.1 mm.

    The tile is made at one pitch and then averaged down, so that the same seed gives the same
    texture at every pixel size.

    Args:
        rng: Generator of the phases.
        spacing_mm: Pixel size of the result in mm.
        beta: Exponent of the power spectrum; 2 to 3 in trabecular bone.
        stretch: Length of the grains along the rows, relative to that across.

    Returns:
        A periodic square tile of `TILE_MM`, float32.
    """
    num = round(TILE_MM / PITCH_MM)
    fy = np.fft.fftfreq(num, PITCH_MM)[:, None]
    fx = np.fft.rfftfreq(num, PITCH_MM) * stretch
    frequency = np.maximum(np.hypot(fy, fx), 1e-6)
    amplitude = frequency ** (-beta / 2) * (frequency > 1 / COARSEST_MM)
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    tile = np.fft.irfft2(amplitude * np.exp(1j * phase), s=(num, num))
    tile = (tile / tile.std()).astype(np.float32)
    width = round(TILE_MM / spacing_mm)
    return np.asarray(cv2.resize(tile, (width, width), interpolation=cv2.INTER_AREA), np.float32)


def crop_of_tile(tile: Floats, rows: int, columns: int, *, row: int, column: int) -> Floats:
    """Return a crop of any size of the endless repetition of a tile.

    Args:
        tile: One period of a texture.
        rows: Number of rows of the crop.
        columns: Number of columns of the crop.
        row: First row of the crop.
        column: First column of the crop.
    """
    size = tile.shape[0]
    if row % size + rows <= size and column % size + columns <= size:
        return tile[row % size : row % size + rows, column % size : column % size + columns]
    index = (np.arange(row, row + rows) % size, np.arange(column, column + columns) % size)
    return tile[np.ix_(*index)]
