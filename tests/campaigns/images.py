"""Damaged images: each is a radiograph or refused in a sentence, in bounded time and memory.

    python tests/campaigns/images.py                 # 10,020 DICOM, 2,000 each of PNG, TIFF and NPY
    python tests/campaigns/images.py 0.1 > images.md

The files are damaged as in tests/dicom/test_read_fuzz.py, in other places. Wrong is anything but a
sentence: a traceback, an image that is none, more than 3 s, memory that grows.
"""

import logging
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dicom"))

from test_read_fuzz import SEEDS, damaged, seed, survives

NUMBERS = {"DICOM": 10_020, "PNG": 2_000, "TIFF": 2_000, "NPY": 2_000}
FIRST = 10**6
"""Far from the numbers of the suite's files, so that none is read twice."""


def seeds_of(kind):
    pictures = [name for name, (_, how) in SEEDS.items() if isinstance(how, dict)]
    if kind == "DICOM":
        return [name for name in SEEDS if name not in pictures]
    return [name for name in pictures if name.startswith(kind)]


def outcome(name, index, path):
    path.write_bytes(damaged(name, index))
    try:
        return "read" if survives(path, index) else "refused"
    except Exception as error:
        print(f"{name} {index}: {type(error).__name__}: {error}", file=sys.stderr)
        return f"wrong: {type(error).__name__}"


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(share):
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    print("| files | made of | read | refused | wrong | slowest s | memory grew by MiB | s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        for kind, number in NUMBERS.items():
            names = seeds_of(kind)
            for name in names:  # whatever a decoder needs once
                path.write_bytes(seed(name)[0])
                survives(path, 0)
            before, begin, slowest, found = peak_mib(), time.monotonic(), 0.0, Counter()
            for turn in range(round(number * share)):
                index, which = divmod(turn, len(names))
                started = time.process_time()
                found[outcome(names[which], FIRST + index, path)] += 1
                slowest = max(slowest, time.process_time() - started)
            bad = found.total() - found["read"] - found["refused"]
            wrong |= bad > 0
            cells = (kind, len(names), found["read"], found["refused"], bad, f"{slowest:.2f}")
            cells += (f"{peak_mib() - before:.0f}", f"{time.monotonic() - begin:.0f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1))
