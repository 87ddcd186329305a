"""Time per step and peak memory of the reference enhancer.

    python benchmarks/reference.py
    python benchmarks/reference.py --sizes 4188 --repeats 5

Each size runs in a process of its own, on a synthetic limb between two shutters. A step's time is
the median over the repeats; the peak is what the resident memory grows by, the input not counted.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict

import cv2
import numpy as np

from radenhance.reference_enhancer import enhance as reference

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
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4188])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", action="store_true", help="measure in this process, no header")
    arguments = parser.parse_args()
    if arguments.one:
        print(row(arguments.sizes[0], arguments.repeats), flush=True)
        return
    print(
        f"{platform.machine()}, {cv2.getNumThreads()} threads, Python {platform.python_version()},"
    )
    print(f"OpenCV {cv2.__version__}, NumPy {np.__version__}; {reference.ALGORITHM}, default\n")
    print("| pixels | " + " | ".join(f"{step} ms" for step in STEPS) + " | all ms | peak MiB |")
    print("|---" * (len(STEPS) + 3) + "|", flush=True)
    for size in arguments.sizes:
        options = ["--one", "--sizes", str(size), "--repeats", str(arguments.repeats)]
        subprocess.run([sys.executable, __file__, *options], check=True)


def row(size, repeats):
    """Measures one size; a line of the table."""
    reference.enhance(limb(256))  # libraries and thread pools are loaded before memory is looked at
    image = limb(size)
    before = peak_mib()
    reference.enhance(image)
    grown = peak_mib() - before
    spent = defaultdict(list)
    for step in STEPS:
        setattr(reference, step, timed(getattr(reference, step), spent[step]))
    for _ in range(repeats):
        timed(reference.enhance, spent["all"])(image)
    cells = [f"{1e3 * statistics.median(spent[step]):.0f}" for step in (*STEPS, "all")]
    return f"| {size} x {size} | " + " | ".join(cells) + f" | {grown:.0f} |"


def timed(function, seconds):
    def call(*args, **kwargs):
        start = time.perf_counter()
        result = function(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    return call


def limb(size):
    """Attenuation of a cylinder with a bone between shutters, noisy; made without large scratch."""
    position = np.linspace(-1, 1, size, dtype=np.float32)
    tissue = np.sqrt(np.clip(1 - (position / 0.6) ** 2, 0, None))
    bone = np.sqrt(np.clip(1 - (position / 0.15) ** 2, 0, None))
    profile = np.where(np.abs(position) < 0.8, 0.05 + 0.3 * tissue + 0.25 * bone, 0.9)
    image = np.empty((size, size), np.float32)
    random = np.random.default_rng(0)
    for line in image:
        line[:] = profile + 0.003 * random.standard_normal(size, np.float32)
    return np.clip(image, 0, 1, out=image)


def peak_mib():
    """Largest resident memory of this process so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
