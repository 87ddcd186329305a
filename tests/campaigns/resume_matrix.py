"""Cuts runs of every kind, lets them go on, and compares them with runs that were not cut.

    python tests/campaigns/resume_matrix.py --minutes 20 > tests/campaigns/resume_matrix.md

The cases of tests/helpers/resume_matrix.py are drawn in an order of chance until the time is over.
"""

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "helpers"), str(TESTS.parent)]

from resume_matrix import Runs, all_cases, quiet  # noqa: E402


def main() -> None:
    """Run cases and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    quiet()
    cases = list(all_cases())
    random.Random(arguments.seed).shuffle(cases)
    ends = time.monotonic() + 60 * arguments.minutes
    different = []
    num_done = 0
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        for case in cases:
            if time.monotonic() > ends:
                break
            num_done += 1
            if names := runs.differences(case):
                different.append(f"- {case}: {', '.join(names)}")
    lines = [
        "# Runs that were cut and went on",
        "",
        f"`python tests/campaigns/resume_matrix.py --minutes {arguments.minutes:g} --seed "
        f"{arguments.seed} > tests/campaigns/resume_matrix.md`, {date.today()},",
        f"on one of {os.cpu_count()} CPU cores; Python {platform.python_version()}, PyTorch "
        f"{torch.__version__}.",
        "",
        f"Of {len(cases)} cases {num_done} were run, drawn by chance; {len(different)} ended with "
        f"another result.",
        *different,
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if different:
        sys.exit(1)


if __name__ == "__main__":
    main()
