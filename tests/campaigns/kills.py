"""Kills training and predict at random moments, and looks at what each kill left behind.

    python tests/campaigns/kills.py --kills 200 > tests/campaigns/kills.md

Half of the kills come at any moment, half while a file is being written. After each, every file
must be whole, and the command runs again on what is there. A training that was killed until it was
done must end with the weights of one that was not, to the bit; predict with the same images.
"""

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import torch

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS), str(TESTS / "helpers"), str(TESTS.parent)]

from conftest import smooth_image  # noqa: E402
from processes import LAST, Process, command, start  # noqa: E402

from radenhance.dataset.manifest import Pair, write_manifest  # noqa: E402

NUM_IMAGES = 24
NUM_STEPS = 36
FLAGS = [
    "--data.image_size=64",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
]
FIT = [
    "fit",
    *FLAGS,
    "--data.root=../data",
    "--data.batch_size=2",
    "--model.encoder=tu-mobilenetv3_small_050",
    "--model.num_scales=auto",
    "--trainer.enable_model_summary=false",
    f"--trainer.max_steps={NUM_STEPS}",
    "--last_checkpoint.every_n_steps=1",
]
PREDICT = ["predict", *FLAGS, "--data.root=../data", "--data.predict_from=../data/raw"]


@dataclass
class Counts:
    """What a campaign saw."""

    kills: int = 0
    left_parts: int = 0
    ended: int = 0
    examined: int = 0
    damaged: int = 0
    different: int = 0
    parts_in_the_end: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost."""
        lost = self.damaged + self.different + self.parts_in_the_end
        return not lost and not self.failed


def campaign(
    folder: Path,
    num_kills: int,
    *,
    begin: Callable[[Path], Process],
    files: Callable[[Path], Iterator[Path]],
    is_whole: Callable[[Path], bool],
    is_same: Callable[[Path, Path], bool],
    longest_s: float,
) -> Counts:
    """Kill what `begin` starts, again and again, until it has been killed often enough.

    Args:
        folder: An empty folder.
        num_kills: Number of kills.
        begin: Function that starts the command in a folder, on what an earlier one left.
        files: Function that returns the files that the command has written.
        is_whole: Function that says whether one of them is.
        is_same: Function that says whether the folders of two ended commands hold the same.
        longest_s: Seconds after the start within which a kill comes.
    """
    counts = Counts()
    reference, killed = folder / "whole", folder / "killed"
    expect_good(begin(reference), counts)
    while counts.kills < num_kills:
        process = begin(killed)
        if kill(process, killed, while_writing=counts.kills % 2 == 1, longest_s=longest_s):
            counts.kills += 1
            counts.left_parts += bool(parts(killed))
            found = list(files(killed))
            counts.examined += len(found)
            counts.damaged += sum(not is_whole(path) for path in found)
            if counts.kills < num_kills:
                continue
            process = begin(killed)
        expect_good(process, counts)
        counts.ended += 1
        counts.different += not is_same(reference, killed)
        counts.parts_in_the_end += len(parts(killed))
        shutil.rmtree(killed)
        sys.stderr.write(f"{counts}\n")
    return counts


def kill(process: Process, folder: Path, *, while_writing: bool, longest_s: float) -> bool:
    """Kill a process at a random moment; return whether it still ran then."""
    if while_writing:
        ends = time.monotonic() + random.uniform(0, longest_s)
        while process.code is None and (time.monotonic() < ends or not parts(folder)):
            time.sleep(0.0005)
        time.sleep(random.choice((0, 0.001, 0.01, 0.02)))
    else:
        process.process.join(random.uniform(0, longest_s))
    runs = process.code is None
    process.process.kill()
    process.process.join()
    return runs or process.code < 0


def expect_good(process: Process, counts: Counts) -> None:
    """Wait until a process has ended, and keep what it said if that was not well."""
    process.wait(300)
    if process.code != 0:
        counts.failed.append(process.output)


def parts(folder: Path) -> list[Path]:
    """Return the parts of files in a folder and below."""
    return list(folder.rglob(".*.part"))


def begin_fit(folder: Path) -> Process:
    """Start a training, or go on with the one in a folder."""
    resumed = ["--ckpt_path=last"] if (folder / LAST).exists() else []
    if not resumed:
        shutil.rmtree(folder, ignore_errors=True)
    workers = f"--data.num_workers={random.randint(0, 1)}"
    return start(command, *FIT, workers, *resumed, folder=folder, name="log", has_children=True)


def begin_predict(folder: Path, checkpoint: Path) -> Process:
    """Start to enhance all images."""
    return start(
        *(command, *PREDICT, f"--ckpt_path={checkpoint}", "--data.num_workers=0"),
        folder=folder,
        name="log",
    )


def is_whole_checkpoint(path: Path) -> bool:
    """Return whether the checksums of a checkpoint are right, and it is one."""
    try:
        return zipfile.ZipFile(path).testzip() is None and "state_dict" in torch.load(
            path, weights_only=True
        )
    except (zipfile.BadZipFile, RuntimeError, OSError):
        return False


def is_same_state(first: Path, second: Path) -> bool:
    """Return whether two trainings ended with the same weights, to the bit."""
    one, other = (torch.load(folder / LAST, weights_only=True) for folder in (first, second))
    return (
        one["global_step"] == other["global_step"] == NUM_STEPS
        and one["state_dict"].keys() == other["state_dict"].keys()
        and all(
            torch.equal(one["state_dict"][key], other["state_dict"][key])
            for key in one["state_dict"]
        )
    )


def is_whole_image(path: Path) -> bool:
    """Return whether a PNG decodes; its chunks have checksums."""
    return (
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
        and path.read_bytes()[-8:-4] == b"IEND"
    )


def is_same_images(first: Path, second: Path) -> bool:
    """Return whether two folders hold the same files."""
    one, other = (
        {path.name: path.read_bytes() for path in images(folder)} for folder in (first, second)
    )
    return len(one) == NUM_IMAGES and one == other


def checkpoints(folder: Path) -> Iterator[Path]:
    """Return the checkpoints of a run."""
    return folder.rglob("*.ckpt")


def images(folder: Path) -> Iterator[Path]:
    """Return the enhanced images of a folder."""
    return (folder / "enhanced").glob("*.png")


def make_data(root: Path) -> None:
    """Make a small dataset."""
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
    for i in range(NUM_IMAGES):
        target = smooth_image(70 + i, 80, seed=i)
        np.save(root / f"raw/case{i}.npy", (16384 + target // 2).astype(np.uint16))
        np.save(root / f"target/case{i}.npy", target)
        split = "val" if i % 4 == 0 else "train"
        pairs.append(Pair(f"case{i}", f"p{i}", f"raw/case{i}.npy", f"target/case{i}.npy", split))
    write_manifest(root, pairs)


def table(rows: dict[str, Counts], arguments: argparse.Namespace, seconds: float) -> str:
    """Return what the campaigns saw, as a page."""
    head = (
        "| | kills | with half a file left | files examined | damaged | commands that came to "
        "their end | with another result | parts left in the end |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    lines = [
        f"| {name} | {c.kills} | {c.left_parts} | {c.examined} | {c.damaged} | {c.ended} | "
        f"{c.different} | {c.parts_in_the_end} |"
        for name, c in rows.items()
    ]
    return "\n".join(
        [
            "# SIGKILL at random moments",
            "",
            f"`python tests/campaigns/kills.py --kills {arguments.kills} --seed {arguments.seed} > "
            f"tests/campaigns/kills.md`, {date.today()}, {seconds / 60:.0f} minutes",
            f"on {len(os.sched_getaffinity(0))} CPU cores; Python "
            f"{platform.python_version()}, PyTorch {torch.__version__}.",
            "",
            head,
            *lines,
            "",
            "Training writes `last.ckpt` after each of its steps here, with and without a worker "
            "that loads images. A result is",
            "another one where a bit of the weights, or of an image, differs from that of a "
            "command that was not killed.",
        ]
    )


def main() -> None:
    """Run both campaigns and print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills of training, and of predict")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    began = time.monotonic()
    rows = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_data(folder / "fit/data")
        rows["`fit`"] = campaign(
            folder / "fit",
            arguments.kills,
            begin=begin_fit,
            files=checkpoints,
            is_whole=is_whole_checkpoint,
            is_same=is_same_state,
            longest_s=5,
        )
        shutil.copytree(folder / "fit/data", folder / "predict/data")
        checkpoint = folder / "fit/whole" / LAST
        rows["`predict`"] = campaign(
            folder / "predict",
            arguments.kills,
            begin=lambda where: begin_predict(where, checkpoint),
            files=images,
            is_whole=is_whole_image,
            is_same=is_same_images,
            longest_s=2,
        )
    sys.stdout.write(table(rows, arguments, time.monotonic() - began) + "\n")
    if not all(counts.is_good for counts in rows.values()):
        sys.exit("\n".join([str(rows), *(said for c in rows.values() for said in c.failed)]))


if __name__ == "__main__":
    main()
