"""From path lengths to detector values: primary beam, scatter, quanta, blur, converter.

The order is that of nature, on which noise depends: the beam is attenuated energy by energy,
scattered radiation is added, quanta arrive as a Poisson process, the scintillator blurs what has
arrived (noise included), the electronics add noise of their own, and a converter stores intensity
(LIN) or its logarithm (LOG). Numbers and sources are in docs/explanation/synthetic.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.arrays import Floats
from radenhance.phantoms.scatter import GRID_PRIMARY, GRID_SCATTER, scatter
from radenhance.phantoms.spectra import BONE, WATER, spectrum

BAND_ROWS = 64
"""Rows that are computed at a time, so that they stay in the cache of the processor."""
LOG_DECADES = 3.6
"""Decades of intensity that LOG stores."""
CLEAN_SCATTER = 0.4
"""Fraction of the scatter in the clean image."""
CLEAN_NOISE = 0.3
"""Fraction of the noise in the clean image."""


@dataclass(frozen=True)
class Exposure:
    """Settings of generator and detector for one image.

    Args:
        kvp: Tube voltage in kV, one of `spectra.KVPS`.
        mas: Tube load in mAs.
        spacing_mm: Pixel size in mm.
        grid: Whether an anti-scatter grid is in front of the detector.
        direct_level: Signal of direct exposure as a fraction of full scale; above 1 it saturates.
        heel: Relative rise of the intensity at the left border, and its fall at the right one, in
            [0, 0.15].
        blur_mm: Standard deviation of the detector's point spread function in mm.
        electronic_quanta: Standard deviation of electronic noise in quanta per pixel.
        gain_residual: Relative standard deviation of the gain between pixels after calibration.
        bits: Bits of the converter.
        relationship: Value of (0028,1040) Pixel Intensity Relationship, LIN or LOG.
        sign: Value of (0028,1041) Pixel Intensity Relationship Sign, +1 or -1.
    """

    kvp: int
    mas: float
    spacing_mm: float
    grid: bool = False
    direct_level: float = 0.9
    heel: float = 0.0
    blur_mm: float = 0.1
    electronic_quanta: float = 3.0
    gain_residual: float = 0.003
    bits: int = 14
    relationship: Literal["LIN", "LOG"] = "LIN"
    sign: Literal[1, -1] = 1

    @property
    def direct_quanta(self) -> float:
        """Quanta detected per pixel with nothing in the beam but the grid, if there is one."""
        area = (self.spacing_mm / 0.1) ** 2
        passed = GRID_PRIMARY if self.grid else 1.0
        return spectrum(self.kvp).quanta * self.mas * area * passed

    @property
    def max_value(self) -> int:
        """The largest value of the converter."""
        return (1 << self.bits) - 1


def transmission(water_cm: Floats, bone_cm: Floats, kvp: int) -> Floats:
    """Return the fraction of the detected energy that passes water and bone; 1 in air.

    Args:
        water_cm: Path lengths in cm of water, float32, shape (rows, columns).
        bone_cm: Path lengths in cm of cortical bone, float32, same shape.
        kvp: Tube voltage in kV, one of `spectra.KVPS`.
    """
    weights = spectrum(kvp).weights
    result = np.zeros_like(water_cm)
    for band in _bands(len(result)):
        water, bone, total = water_cm[band], bone_cm[band], result[band]
        for i in np.flatnonzero(weights).tolist():
            path = water * np.float32(-WATER[i]) - bone * np.float32(BONE[i])
            total += np.float32(weights[i]) * cv2.exp(np.minimum(path, 0))
    return result


def expose(
    water_cm: Floats,
    bone_cm: Floats,
    exposure: Exposure,
    *,
    aperture: Floats | None = None,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.uint16], Floats]:
    """Take a radiograph.

    Args:
        water_cm: Path lengths in cm of water, float32, shape (rows, columns).
        bone_cm: Path lengths in cm of cortical bone, float32, same shape.
        exposure: Settings of generator and detector.
        aperture: Fraction of the beam that the collimator lets through, same shape, in [0, 1].
        rng: Generator of all noise.

    Returns:
        Stored values, uint16; and the same exposure with scatter times 0.4 and noise times 0.3,
        float32, on the same scale, not rounded.
    """
    transmitted = transmission(water_cm, bone_cm, exposure.kvp)
    heel = np.linspace(1 + exposure.heel, 1 - exposure.heel, transmitted.shape[1])
    primary = transmitted * heel.astype(np.float32)
    if aperture is not None:
        primary *= aperture
    scattered = scatter(primary, transmitted, kvp=exposure.kvp, spacing_mm=exposure.spacing_mm)
    if exposure.grid:  # direct_quanta contains the loss of primary radiation already
        scattered *= np.float32(GRID_SCATTER / GRID_PRIMARY)
    raw, clean = _detect(primary, scattered, exposure, rng)
    limit = np.float32(exposure.max_value)
    stored = np.clip(np.rint(digitise(raw, exposure)), 0, limit).astype(np.uint16)
    return stored, np.clip(digitise(clean, exposure), 0, limit)


def _detect(
    primary: Floats, scattered: Floats, exposure: Exposure, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the signal with all noise and with 0.3 of it, relative to direct exposure."""
    scale = np.float32(exposure.direct_quanta)
    raw = (primary + scattered) * scale
    clean = (primary + np.float32(CLEAN_SCATTER) * scattered) * scale
    for band in _bands(len(raw)):
        noise = (rng.poisson(raw[band]) - raw[band]).astype(np.float32)
        raw[band] += noise
        clean[band] += np.float32(CLEAN_NOISE) * noise
    sigma = exposure.blur_mm / exposure.spacing_mm
    raw, clean = (_blurred(x, sigma) for x in (raw, clean))
    for band in _bands(len(raw)):
        gain = rng.standard_normal(raw[band].shape, np.float32) * np.float32(exposure.gain_residual)
        dark = rng.standard_normal(raw[band].shape, np.float32)
        dark *= np.float32(exposure.electronic_quanta)
        raw[band] += raw[band] * gain + dark
        clean[band] += np.float32(CLEAN_NOISE) * (clean[band] * gain + dark)
    return raw / scale, clean / scale


def _blurred(signal: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(signal, (0, 0), sigma), np.float32)


def _bands(rows: int) -> Iterator[slice]:
    return (slice(first, first + BAND_ROWS) for first in range(0, rows, BAND_ROWS))


def digitise(signal: Floats, exposure: Exposure) -> Floats:
    """Return a signal in stored units, neither rounded nor clipped.

    LIN is proportional to intensity. LOG is affine in its logarithm: full scale is reached where
    LIN reaches it, and 0 is `LOG_DECADES` decades below. Sign -1 counts down from full scale.

    Args:
        signal: Intensity relative to direct exposure, float32, any shape.
        exposure: Settings of generator and detector.
    """
    level = signal * np.float32(exposure.direct_level)
    if exposure.relationship == "LOG":
        floor = np.float32(10.0**-LOG_DECADES)
        level = 1 + np.log10(np.maximum(level, floor)) / np.float32(LOG_DECADES)
    limit = np.float32(exposure.max_value)
    return np.asarray(limit * (level if exposure.sign == 1 else 1 - level), np.float32)
