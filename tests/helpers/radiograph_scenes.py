"""Small synthetic radiographs: a limb in air, collimated or not, in log attenuation."""

import cv2
import numpy as np

SIDES = ("left", "top", "right", "bottom")


def limb(side=256, *, quanta=4000.0, blocked=None, taper=0.1, seed=0):
    """Attenuation in [0, 1] of a limb: two bones in soft tissue, air on both sides.

    The lowest quarter of the larger bone has trabeculae.

    `blocked` is the part of the beam that passes the collimator, shape (side, side), in [0, 1];
    a limb without taper is the same from top to bottom.
    """
    random = np.random.default_rng(seed)
    across, along = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    thickness = 2.0 * _chord(across / (0.5 + taper * along))
    thickness += 2.0 * (_chord((across + 0.08) / 0.16) - 0.6 * _chord((across + 0.08) / 0.1))
    thickness += 0.9 * _chord((across - 0.25) / 0.07)
    trabeculae = cv2.GaussianBlur(random.standard_normal((side, side)), (0, 0), 1.5)
    thickness += 0.3 * trabeculae * (np.abs(across + 0.08) < 0.1) * (along > 0.5)
    beam = np.exp(-thickness) * (1 if blocked is None else blocked)
    scatter = 0.05 * cv2.GaussianBlur(beam, (0, 0), side / 10)
    counts = random.poisson((beam + scatter + 1e-3) * quanta)
    return (1 - np.log1p(counts) / np.log1p(1.2 * quanta)).clip(0, 1).astype(np.float32)


def collimator(side=256, *, sides=SIDES, angle_deg=0.0, margin=0.25, blur_px=0.8):
    """Part of the beam that passes shutters on some sides, turned as one about the centre."""
    angle = np.radians(angle_deg)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, side), np.linspace(-0.5, 0.5, side))
    across = x * np.cos(angle) + y * np.sin(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    reach = 0.5 - margin
    distance = {"left": across, "top": along, "right": -across, "bottom": -along}
    passes = np.ones((side, side))
    for name in sides:
        passes *= distance[name] > -reach
    return cv2.GaussianBlur(passes, (0, 0), blur_px)


def _chord(position):
    """Chord length through a cylinder of radius 1, as a part of its diameter."""
    return np.sqrt(np.clip(1 - position**2, 0, None))
