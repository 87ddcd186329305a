"""Kills one process of several at random moments, under each strategy that divides a step.

    python tests/campaigns/strategies.py --kills 25 > tests/campaigns/strategies.md

A process drawn by chance is killed at a moment drawn by chance: one in eight times at the start,
else from when all have met on, within the time that a whole run takes from there. The others must
end, all of them, and say which process it was. The run goes on from `last`, and may be killed
again, until it is done: weights, optimizer and schedule must be, to the bit, those of a run of as
many processes that was not killed.
"""

import argparse
import os
import platform
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "helpers"), str(TESTS / "campaigns"), str(TESTS.parent)]

from kills import FIT, PRELOADED, is_same_checkpoint, make_data  # noqa: E402
from processes import CONTEXT, Process, command, start_nodes  # noqa: E402

from radenhance.strategies.encoder_decoder.groups import name_of  # noqa: E402

CLASSES = {"encoder_decoder": "EncoderDecoderStrategy", "rows": "RowsStrategy"}
SIDE = 128
"""Of images: the least that four processes can divide by rows."""
TIMEOUT_S = 15
IN_TIME_S = 5
HAVE_MET = "All distributed processes registered"
NOT_MET = re.compile(r"met no other process|met all others, but")
LAST = Path(f"lightning_logs/fit_{SIDE}_0/checkpoints/last.ckpt")


@dataclass
class Row:
    """What was seen of a strategy and a number of processes."""

    kills: int = 0
    resumed: int = 0
    early: int = 0
    anew: int = 0
    seconds: list[float] = field(default_factory=list)
    late: int = 0
    wrong: int = 0
    ended: int = 0
    different: int = 0
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        typical = sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else 0
        longest = max(self.seconds, default=0)
        counts = (self.kills, self.resumed, self.early, self.anew, f"{typical:.1f}")
        more = (f"{longest:.1f}", self.late, self.wrong, self.ended, self.different)
        return " | ".join(map(str, counts + more))

    @property
    def is_good(self) -> bool:
        """Whether all ended in time, with the right culprit, and came to the same."""
        return not (self.late or self.wrong or self.different or self.said)


TITLES = (
    "kills",
    "of runs that had been resumed",
    "before all had met",
    "before the first checkpoint",
    "seconds to the end, median",
    "longest",
    f"more than {IN_TIME_S}",
    "with another culprit",
    "runs that came to their end",
    "with another result",
)


def begin(folder: Path, strategy: str, num: int, *, resumes: bool) -> list[Process]:
    """Start the processes of a run, or let it go on."""
    flags = [
        *[flag for flag in FIT if "image_size" not in flag],
        f"--data.image_size={SIDE}",
        f"--trainer.num_nodes={num}",
        "--trainer.devices=1",
        f"--trainer.strategy=radenhance.strategies.{CLASSES[strategy]}",
        f"--trainer.strategy.timeout_s={TIMEOUT_S}",
        "--memory_profiler.plan=false",
        *(["--ckpt_path=last"] if resumes else []),
    ]
    for output in folder.parent.glob(f"{folder.name}-rank*.txt"):
        output.unlink()
    processes: list[Process] = start_nodes(command, *flags, folder=folder, num=num)
    return processes


def wait_until_met(processes: list[Process]) -> float:
    """Wait until the processes have met, if they do; return when that was."""
    first = processes[0]
    while first.code is None and not (first.output_path.exists() and HAVE_MET in first.output):
        time.sleep(0.01)
    return time.monotonic()


def kill(processes: list[Process], victim: int, after_s: float, *, at_start: bool) -> bool:
    """Kill one of the processes after a time; return whether it still ran then."""
    if not at_start:
        wait_until_met(processes)
    processes[victim].process.join(after_s)
    runs = processes[victim].code is None
    if runs:
        os.kill(processes[victim].process.pid or 0, signal.SIGKILL)
        processes[victim].process.join()
    return runs


def look(processes: list[Process], strategy: str, victim: int, row: Row) -> None:
    """Wait for the others, and note when they ended and what they said."""
    since = time.monotonic()
    others = [one for rank, one in enumerate(processes) if rank != victim]
    for one in others:
        one.wait(2 * TIMEOUT_S + 20)
    seconds = time.monotonic() - since
    if all(one.code == 0 for one in others):
        return
    early = any(NOT_MET.search(one.output) for one in others)
    row.early += early
    if not early:
        row.seconds.append(seconds)
        row.late += seconds > IN_TIME_S
    culprit = name_of(victim) if strategy == "encoder_decoder" else f"rank {victim}"
    for one in others:
        if early or one.code == 0:  # it had nothing to ask of it any more
            continue
        if f"{culprit} died without a word" not in one.output or "Traceback" in one.output:
            row.wrong += 1
            row.said.append(f"{culprit} was killed, and another said: {one.output[-600:]}")


def run(folder: Path, strategy: str, num: int, num_kills: int, ends: float) -> Row:
    """Kill runs of some processes; return what was seen.

    Args:
        folder: A folder that holds the data.
        strategy: The strategy.
        num: Number of processes.
        num_kills: Number of kills.
        ends: Time of the monotonic clock after which none is killed any more.
    """
    row = Row()
    whole = begin(folder / "whole", strategy, num, resumes=False)
    since = wait_until_met(whole)
    for one in whole:
        assert one.wait(300).code == 0, one.output
    longest_s = time.monotonic() - since
    killed = folder / "killed"
    while (kills := row.kills < num_kills and time.monotonic() < ends) or killed.exists():
        resumes = (killed / LAST).exists()
        if killed.exists() and not resumes:
            row.anew += 1
            shutil.rmtree(killed)
        processes = begin(killed, strategy, num, resumes=resumes)
        victim = random.randrange(num)
        at_start = random.random() < 1 / 8
        moment = random.uniform(0, 3 if at_start else longest_s) if kills else 300
        if kill(processes, victim, moment, at_start=at_start):
            row.kills += 1
            row.resumed += resumes
            look(processes, strategy, victim, row)
            sys.stderr.write(f"{strategy} {num}: {row}\n")
            continue
        for one in processes:
            if one.wait(300).code != 0:
                row.said.append(one.output[-600:])
        row.ended += 1
        row.different += not is_same_checkpoint(killed / LAST, folder / "whole" / LAST)
        shutil.rmtree(killed)
    return row


def main() -> None:
    """Run the campaign and print its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="kills with two processes")
    parser.add_argument("--of-four", type=int, default=10, help="kills with four processes")
    parser.add_argument("--minutes", type=float, default=60, help="end without all kills then")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    CONTEXT.set_forkserver_preload(PRELOADED)
    began = time.monotonic()
    rows = {}
    with tempfile.TemporaryDirectory() as temporary:
        for i, num in enumerate((2, 4)):
            for j, strategy in enumerate(CLASSES):
                num_kills = arguments.kills if num == 2 else arguments.of_four
                ends = began + 60 * arguments.minutes * (2 * i + j + 1) / 4
                folder = Path(temporary) / f"{strategy}{num}"
                make_data(folder / "data", 8, side=SIDE + 10)
                rows[f"`{strategy}`, {num}"] = run(folder, strategy, num, num_kills, ends)
    lines = [
        "# SIGKILL of one process of several",
        "",
        f"`python tests/campaigns/strategies.py --kills {arguments.kills} --of-four "
        f"{arguments.of_four} --minutes {arguments.minutes:g} --seed {arguments.seed} > "
        f"tests/campaigns/strategies.md`,",
        f"{date.today()}, {(time.monotonic() - began) / 60:.0f} minutes on {os.cpu_count()} CPU "
        f"cores; Python {platform.python_version()}, PyTorch "
        f"{torch.__version__}.",
        "",
        f"| strategy, processes | {' | '.join(TITLES)} |",
        f"|---{'|--:' * len(TITLES)}|",
        *(f"| {name} | {row} |" for name, row in rows.items()),
        "",
        "A process that dies before all have met is waited for as any that does not come "
        f"(`timeout_s`, here {TIMEOUT_S} s).",
        "Seconds are those until the last of the others has ended. Training writes `last.ckpt` "
        "after each of its steps.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if not all(row.is_good for row in rows.values()):
        sys.exit("\n".join(said for row in rows.values() for said in row.said) or "not good")


if __name__ == "__main__":
    main()
