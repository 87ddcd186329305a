"""Enhances good radiographs among damaged ones, and kills that and goes on with it.

    python tests/campaigns/night.py --kills 100 > tests/campaigns/night.md

First 50 good radiographs lie among 1,000 that were cut, overwritten, stretched or had bits turned,
of each transfer syntax and file format: each good one must be enhanced, each file accounted for, in
bounded memory and without a traceback. Then the good ones are enhanced by a process that is killed
at random moments and goes on with --continue, until it is done: the folder must be that of one that
was not killed, but for times and UIDs.
"""

import argparse
import json
import os
import platform
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS), str(TESTS / "helpers"), str(TESTS.parent)]

from enhancing import real_radiograph  # noqa: E402
from processes import Process, command, start  # noqa: E402
from saved_files import COMPRESSED, NATIVE, save  # noqa: E402

NUM_GOOD = 50
FORMATS = (".png", ".tif", ".npy")
MIB = 2**20
OWN = ("SOPInstanceUID", "SeriesInstanceUID", "ContributingEquipmentSequence")


def write_good_files(folder: Path) -> list[Path]:
    """Write radiographs of each syntax and format, and return their paths."""
    folder.mkdir(parents=True)
    syntaxes = [*NATIVE, *COMPRESSED]
    for number in range(NUM_GOOD):
        kind = number % (len(syntaxes) + len(FORMATS))
        uids = {"SeriesInstanceUID": f"1.2.{number // 10}", "SOPInstanceUID": f"1.2.3.{number}"}
        dataset = real_radiograph(number, **uids)
        if kind < len(syntaxes):
            save(dataset, folder / f"{number}.dcm", syntaxes[kind])
        else:
            name = f"{number}{FORMATS[kind - len(syntaxes)]}"
            write_image(folder / name, dataset.pixel_array.astype(np.uint16))
    return sorted(folder.iterdir())


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as a PNG, TIFF or NPY file."""
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        cv2.imwrite(str(path), pixels)


def damaged(content: bytes) -> bytes:
    """Return a file as something that happens to files leaves it."""
    data = bytearray(content)
    at, length = random.randrange(len(data)), random.randint(1, 64)
    header = random.randrange(min(len(data), 2500))
    ways = (
        lambda: data[:at],
        lambda: data[:at] + bytes(length) + data[at + length :],
        lambda: data[:at] + random.randbytes(length) + data[at + length :],
        lambda: data[:at] + data[at + length :],
        lambda: data[:header] + random.randbytes(4) + data[header + 4 :],
        lambda: data[:header] + b"\xff\xff\xff\x7f" + data[header + 4 :],
        lambda: data[:header] + random.randbytes(length) + data[header:],
        lambda: bytes(len(data)),
    )
    return bytes(random.choice(ways)())


def contents(folder: Path) -> dict[str, str]:
    """Return what is in a folder of outputs, but for times and UIDs."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".dcm":
            dataset = pydicom.dcmread(path)
            for element in list(dataset):
                if element.keyword.endswith(("Date", "Time")) or element.keyword in OWN:
                    del dataset[element.tag]
            found[path.relative_to(folder).as_posix()] = dataset.to_json()
        elif path.suffix in (".png", ".tif"):
            found[path.relative_to(folder).as_posix()] = path.read_bytes().hex()
    return found


def enhance(folder: Path, *flags: str) -> Process:
    """Start to enhance what is in a folder."""
    return start(*(command, "enhance", "in", "--out", "out", *flags), folder=folder, name="log")


def among_damaged(folder: Path, num_damaged: int) -> dict[str, object]:
    """Enhance good files among damaged ones; return what was seen."""
    good = write_good_files(folder / "in")
    for number in range(num_damaged):
        path = random.choice(good)
        name = f"damaged-{number}{path.suffix}"
        (folder / "in" / name).write_bytes(damaged(path.read_bytes()))
    begin = time.monotonic()
    process = enhance(folder, "--report", "run.json")
    process.wait(7200)
    if process.code not in (0, 4):
        sys.exit(process.output)
    files = json.loads((folder / "run.json").read_text())["files"]
    outcomes = {file["source"]: file["outcome"] for file in files}
    # the process has ended: this is the largest that a child of this one had
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "files": num_damaged + len(good),
        "listed": len({file["key"] for file in files}),
        "good ones enhanced": sum(outcomes[path.name] == "enhanced" for path in good),
        **(Counter(file["outcome"] for file in files) - Counter(enhanced=len(good))),
        "exit code": process.code,
        "tracebacks": process.output.count("Traceback"),
        "seconds": round(time.monotonic() - begin),
        "peak MiB": peak // MIB,
    }


def killed(folder: Path, num_kills: int) -> dict[str, int]:
    """Kill the command at random moments and go on; return what was seen."""
    write_good_files(folder / "whole/in")
    shutil.copytree(folder / "whole/in", folder / "killed/in")
    whole = enhance(folder / "whole")
    begin = time.monotonic()
    whole.wait(600)
    longest = time.monotonic() - begin
    seen = Counter(kills=0, ended=0, different=0)
    while seen["kills"] < num_kills:
        process = enhance(folder / "killed", "--continue")
        process.process.join(random.uniform(longest / 4, longest))
        if process.code is None:
            os.kill(process.process.pid, 9)
            process.process.join()
            seen["kills"] += 1
            continue
        if process.code != 0:
            sys.exit(process.output)
        seen["ended"] += 1
        seen["different"] += contents(folder / "killed/out") != contents(folder / "whole/out")
        shutil.rmtree(folder / "killed/out")
    return dict(seen)


def main() -> None:
    """Run both parts and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--damaged", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tables = (
            among_damaged(Path(folder, "mixed"), options.damaged),
            killed(Path(folder), options.kills),
        )
    print("# A night's batch among damaged files, and killed\n")
    print(f"`python tests/campaigns/night.py {' '.join(sys.argv[1:])}`, {date.today()},")
    minutes = (time.monotonic() - begin) / 60
    print(f"{minutes:.0f} minutes on {os.cpu_count()} CPU cores; ", end="")
    print(f"Python {platform.python_version()}, PyTorch {torch.__version__}.")
    for table in tables:
        print(f"\n| {' | '.join(table)} |\n|{'--:|' * len(table)}")
        print(f"| {' | '.join(map(str, table.values()))} |")


if __name__ == "__main__":
    main()
