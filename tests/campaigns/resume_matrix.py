"""Cuts runs of every kind, lets them go on, and compares them with runs that were not cut.

    python tests/campaigns/resume_matrix.py --minutes 20 > tests/campaigns/resume_matrix.md

The cases of tests/helpers/resume_matrix.py are drawn in an order of chance until the time is over;
with --from 500 >> tests/campaigns/resume_matrix.md a further call goes on behind the first 500.
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
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="NUM_DONE")
    arguments = parser.parse_args()
    quiet()
    cases = list(all_cases())
    random.Random(arguments.seed).shuffle(cases)
    ends = time.monotonic() + 60 * arguments.minutes
    different = []
    num_done = 0
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        for case in cases[arguments.first :]:
            if time.monotonic() > ends:
                break
            num_done += 1
            if names := runs.differences(case):
                different.append(f"- {case}: {', '.join(names)}")
    first = arguments.first
    lines = [
        *([] if first else ["# Runs that were cut and went on"]),
        "",
        f"`python tests/campaigns/resume_matrix.py --minutes {arguments.minutes:g} --seed "
        f"{arguments.seed} --from {first} {'>>' if first else '>'} "
        f"tests/campaigns/resume_matrix.md`,",
        f"{date.today()}, on one of {os.cpu_count()} CPU cores; Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}: of {len(cases)} cases, drawn "
        f"by chance,",
        f"numbers {first + 1} to {first + num_done} were run; {len(different)} ended with another "
        f"result.",
        *different,
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if different:
        sys.exit(1)


if __name__ == "__main__":
    main()
