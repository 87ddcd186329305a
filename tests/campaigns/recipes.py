"""Does every hostile recipe and dataset end in success or one sentence, with nothing run?

    python tests/campaigns/recipes.py [--recipes 1000] [--datasets 1000]

A recipe is parsed and all that it describes is made, the trainer included; every fiftieth is
planned as well. Of a dataset, what `check` and training read is read. Both run in this process,
whose memory is limited, under a hook that notes commands, connections and removed folders. The
table of the last run is in recipes.md.
"""

import argparse
import contextlib
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from hostile_texts import (
    hostile_dataset,
    hostile_recipe,
    note,
    outcome_of,
    planted_canary,
    try_dataset,
    try_recipe,
)

from radenhance.console import hush_libraries

LIMIT_BYTES = 16 * 2**30

LONG_S = 10
"""Seconds after which an attempt is named."""


def campaign(title, number, make, attempt):
    """Return the table of a campaign, and how many attempts ended wrong.

    Args:
        title: What is attempted.
        number: Of attempts.
        make: Seed -> what was done, and the rest, which the attempt takes.
        attempt: What is done with it.
    """
    counts, wrong, slowest = Counter(), [], 0.0
    for seed in range(number):
        kind, *content = make(seed)
        start = time.perf_counter()
        ended = outcome_of(lambda content=content, seed=seed: attempt(seed, *content))
        seconds = time.perf_counter() - start
        slowest = max(slowest, seconds)
        if seconds > LONG_S:
            print(f"{title} {seed}, {kind}: {seconds:.1f} s", flush=True)
        if ended.startswith("WRONG"):
            wrong.append(f"{title} {seed}, {kind}: {ended}")
            print(wrong[-1], flush=True)
        counts[kind, ended.partition(":")[0]] += 1
    rows = [
        f"| {title}: {kind.replace('_', ' ')} | {counts[kind, 'done']} | {counts[kind, 'refused']} "
        f"| {counts[kind, 'WRONG']} |"
        for kind in sorted({kind for kind, _ in counts})
    ]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows.append(f"| all, slowest {slowest:.1f} s, {memory:.1f} GiB at most | {number} | | |")
    return rows, wrong


def main():
    """Run both campaigns and print their tables; the exit code is 1 if one ended wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipes", type=int, default=1000)
    parser.add_argument("--datasets", type=int, default=1000)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    hush_libraries()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("planted").mkdir()
        planted_canary(Path("planted").resolve())
        sys.addaudithook(note)
        tables, wrong = zip(
            campaign(
                "recipe",
                options.recipes,
                hostile_recipe,
                lambda seed, content: try_recipe(content, plans=seed % 50 == 0),
            ),
            campaign(
                "dataset",
                options.datasets,
                hostile_dataset,
                lambda seed, pairs, declaration: try_dataset(pairs, declaration),
            ),
            strict=True,
        )
    print("| what was done | done | refused in a sentence | wrong |\n|---|---:|---:|---:|")
    print("\n".join(row for table in tables for row in table))
    return int(any(wrong))


if __name__ == "__main__":
    sys.exit(main())
