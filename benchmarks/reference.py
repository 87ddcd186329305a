"""Claim: the reference enhancer makes a target of a whole radiograph in seconds.

    python benchmarks/reference.py
    python benchmarks/reference.py --sizes 4188 --repeats 5

Enhances a synthetic limb between two shutters, each size in a process of its own. A step's time is
the median over the repeats; the peak is what the resident memory grows by, the input not counted.
Takes about a minute on two cores.
"""

import argparse
import cProfile
import pstats
import statistics
from functools import partial

import cv2
import harness
import numpy as np

from radenhance.reference_enhancer.enhance import ALGORITHM, enhance
from radenhance.units import MIB

STEPS = (
    "find_field",
    "find_tone_range",
    "scale_to_range",
    "fill_outside",
    "amplify",
    "find_air",
    "find_anatomy",
    "apply_tone",
    "blacken_air",
    "shutter",
    "enhance",
)
"""Functions of the enhancer in the order in which they run, and the whole."""


def measure(size: int, repeats: int) -> tuple[list[float], int]:
    """Return the median seconds of each of STEPS, and the rise of the peak in bytes."""
    enhance(limb(256))  # loads libraries and thread pools before memory is looked at
    image = limb(size)
    grown = harness.resident_rise(partial(enhance, image))
    calls = [seconds_of_steps(image) for _ in range(repeats)]
    return [statistics.median(call[step] for call in calls) for step in STEPS], grown


def seconds_of_steps(image: np.ndarray) -> dict[str, float]:
    """Enhance once; return the seconds of each of STEPS, what they call included."""
    with cProfile.Profile() as profile:
        enhance(image)
    functions = pstats.Stats(profile).get_stats_profile().func_profiles
    return {step: functions[step].cumtime if step in functions else 0.0 for step in STEPS}


def limb(size: int) -> np.ndarray:
    """Return the noisy attenuation of a cylinder with a bone, made without large scratch."""
    position = np.linspace(-1, 1, size, dtype=np.float32)
    tissue = np.sqrt(np.clip(1 - (position / 0.6) ** 2, 0, None))
    bone = np.sqrt(np.clip(1 - (position / 0.15) ** 2, 0, None))
    profile = np.where(np.abs(position) < 0.8, 0.05 + 0.3 * tissue + 0.25 * bone, 0.9)
    image = np.empty((size, size), np.float32)
    random = np.random.default_rng(0)
    for line in image:
        line[:] = profile + 0.003 * random.standard_normal(size, np.float32)
    return np.clip(image, 0, 1, out=image)


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4188],
                       help="sides of the images in pixels")  # fmt: skip
    flags.add_argument("--repeats", type=int, default=5, help="calls for each size")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(
        f"OpenCV {cv2.__version__}, {cv2.getNumThreads()} threads, NumPy {np.__version__}; "
        f"{ALGORITHM}, default"
    )
    columns = [*(f"{step} ms" for step in STEPS[:-1]), "all ms"]
    with harness.table("pixels", *columns, "peak MiB", names=["4188 x 4188"]) as row:
        for size in options.sizes:
            ((times, grown),) = harness.in_processes(measure, size, options.repeats)
            cells = [f"{1e3 * each:.0f}" for each in times]
            row(f"{size} x {size}", *cells, f"{grown / MIB:.0f}")


if __name__ == "__main__":
    main(parser().parse_args())
