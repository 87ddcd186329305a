"""Kills training and predict at random moments, and looks at what each kill left behind.

    python tests/campaigns/kills.py --kills 200 > tests/campaigns/kills.md

A run A has ended under a folder when a run B, of another rate, begins there and is killed: at any
moment, before any change of a file, or at a moment drawn at random of what MOMENTS names. After
each kill every file must be whole and A's as they were; `last` must be B's, or end in a sentence
that names B. B goes on, and may be killed again, until it is done: it must have what a run has that
was not killed, to the bit. Predict is killed until all images are there, which must be the same.
"""

import argparse
import csv
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from lightning.pytorch import Trainer

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "helpers"), str(TESTS.parent)]

from conftest import smooth_image  # noqa: E402
from dying import die_before_change  # noqa: E402
from processes import CONTEXT, LAST, Process, command, start  # noqa: E402
from resume_matrix import is_equal  # noqa: E402

from radenhance.dataset.manifest import Pair, write_manifest  # noqa: E402
from radenhance.enhancer import ContrastEnhancer  # noqa: E402
from radenhance.errors import UsageError  # noqa: E402
from radenhance.runs import CHECKPOINTS, LOGS, find_checkpoint, newest_run, read_report  # noqa: E402

FLAGS = ["--data.image_size=64", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
FIT = [
    "fit",
    *FLAGS,
    "--data.root=../data",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--model.encoder=tu-mobilenetv3_small_050",
    "--model.num_scales=auto",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=3",
    "--trainer.log_every_n_steps=1",
    "--last_checkpoint.every_n_steps=1",
    "--best_checkpoint.mode=max",  # the loss of so few steps grows
]
RATES = {"A": "--model.optimizer.lr=0.002", "B": "--model.optimizer.lr=0.001"}
NUM_STEPS = 9
PRELOADED = ["radenhance.command_line.run", "albumentations", "PIL.PngImagePlugin"]
PRELOADED += ["torch._dynamo", "torch.distributed.fsdp", "tensorboard"]
PREDICT = ["predict", *FLAGS, "--data.root=../data", "--data.predict_from=../data/raw"]
NUM_IMAGES = 24
LOST = ("damaged", "wrong", "different", "left")
"""What of COLUMNS must be none."""


@dataclass
class Counts:
    """What kills at one kind of moment left."""

    kills: int = 0
    resumed: int = field(default=0, metadata={"title": "of runs that had been resumed"})
    parts: int = field(default=0, metadata={"title": "left half a file"})
    absent: int = field(default=0, metadata={"title": "before the run had a folder"})
    refused: int = field(default=0, metadata={"title": "before its first checkpoint"})
    damaged: int = field(default=0, metadata={"title": "damaged a file"})
    wrong: int = field(default=0, metadata={"title": "let a wrong run go on, or changed one"})
    ended: int = field(default=0, metadata={"title": "commands that came to their end"})
    different: int = field(default=0, metadata={"title": "with another result"})
    left: int = field(default=0, metadata={"title": "with half a file left"})
    failed: list[str] = field(default_factory=list, metadata={"title": None})

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost."""
        return not self.failed and not any(getattr(self, name) for name in LOST)


def die_in(seconds: float) -> None:
    """Kill this process after a time."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()


def die_in_call(
    number: int, seconds: float, owner: type, method: str, *, named: str | None = None
) -> None:
    """Kill this process after a time that begins with a call of a method.

    Args:
        number: Number of such calls before.
        seconds: Seconds after it has begun.
        owner: The class of the method.
        method: Its name.
        named: Name of the file that is its first argument; None for any call.
    """
    original = getattr(owner, method)
    calls = []

    def dying(self: Any, *arguments: Any, **options: Any) -> Any:
        if named is None or Path(arguments[0]).stem == named:
            calls.append(method)
            if len(calls) == number + 1:
                die_in(seconds)
        return original(self, *arguments, **options)

    setattr(owner, method, dying)


MOMENTS: dict[str, tuple[Callable[[int, float], None], int, float]] = {
    "at any moment": (lambda number, seconds: die_in(seconds), 1, 5.0),
    "before a change of a file": (lambda number, seconds: die_before_change(number), 340, 0),
    "at the start": (lambda number, seconds: die_in(seconds), 1, 2.0),
    "writing last.ckpt": (
        lambda *when: die_in_call(*when, Trainer, "save_checkpoint", named="last"),
        NUM_STEPS,
        0.05,
    ),
    "replacing best.ckpt": (
        lambda *when: die_in_call(*when, Trainer, "save_checkpoint", named="best"),
        3,
        0.05,
    ),
    "validating": (
        lambda *when: die_in_call(*when, ContrastEnhancer, "on_validation_start"),
        4,
        0.1,
    ),
}
"""Moment -> what arms a process, the most calls before, and the most seconds after."""


def doomed(moment: str, number: int, seconds: float, *arguments: str) -> int:
    """Run a command that is killed on the way, if it gets there."""
    MOMENTS[moment][0](number, seconds)
    return command(*arguments)


def kill_fits(folder: Path, num_kills: int) -> dict[str, Counts]:
    """Kill runs of training beside a run that has ended; return what was seen of each moment.

    Args:
        folder: A folder that holds the data.
        num_kills: Number of kills.
    """
    rows = {moment: Counts() for moment in MOMENTS}
    for name, rate in RATES.items():  # B's beside nothing is what the killed ones must come to
        reference = start(command, *FIT, rate, folder=folder / f"whole{name}", name="log").wait(300)
        assert reference.code == 0, reference.output
    former = contents(folder / "wholeA" / LOGS)
    done = 0
    while done < num_kills:
        root = folder / "killed"
        shutil.copytree(folder / "wholeA", root)
        is_resumed = False
        while (root / LOGS).is_dir():
            moment = list(MOMENTS)[done % len(MOMENTS)] if done < num_kills else "at any moment"
            row = rows[moment]
            process = begin(root, moment if done < num_kills else None, is_resumed=is_resumed)
            if process.code == -signal.SIGKILL:
                done += 1
                row.kills += 1
                row.resumed += is_resumed
                is_resumed = look(root, former, row)
                continue
            if process.code != 0:
                row.failed.append(f"{moment}: {process.output}")
            finish(root, former, folder / "wholeB" / LOGS, row)
            shutil.rmtree(root)
        sys.stderr.write(f"{done} kills: {rows}\n")
    return rows


def begin(root: Path, moment: str | None, *, is_resumed: bool) -> Process:
    """Start run B, or let it go on, and wait until it was killed or has ended."""
    flags = [
        *FIT,
        RATES["B"],
        f"--data.num_workers={int(random.random() < 0.2)}",
        f"--memory_profiler.plan={random.random() < 0.2}",  # a plan takes as long as the training
    ]
    if is_resumed:
        flags.append("--ckpt_path=last")
    if moment is None:
        process = start(command, *flags, folder=root, name="log", has_children=True)
    else:
        _, most, longest = MOMENTS[moment]
        when = (moment, random.randrange(most), random.uniform(0, longest))
        process = start(doomed, *when, *flags, folder=root, name="log", has_children=True)
    return process.wait(300)


def look(root: Path, former: dict[str, bytes], row: Counts) -> bool:
    """Note what a kill left; return whether run B can go on."""
    row.parts += bool(parts(root))
    check(root, former, row)
    run = newest_run(root)
    assert run is not None
    if run.name in {Path(name).parts[0] for name in former}:
        row.absent += 1
        return False
    try:
        last = find_checkpoint("last", root)
    except UsageError as error:
        row.refused += 1
        row.wrong += run.name not in str(error)
        asked = start(command, *FIT, "--ckpt_path=last", folder=root, name="log").wait(60)
        row.wrong += asked.code != 2 or "the newest run" not in asked.output
        check(root, former, row)
        return False
    row.wrong += last.parent.parent != run
    return True


def check(root: Path, former: dict[str, bytes], row: Counts) -> None:
    """Note whether run A's files are as they were, and those of the others whole."""
    found = contents(root / LOGS)
    row.wrong += any(found.get(name) != content for name, content in former.items())
    row.damaged += sum(not is_whole(root / LOGS / name) for name in found.keys() - former.keys())


def finish(root: Path, former: dict[str, bytes], whole: Path, row: Counts) -> None:
    """Note whether run B has come to what one came to that was not killed."""
    row.ended += 1
    check(root, former, row)
    run = newest_run(root)
    assert run is not None
    expected = whole / "fit_64_0"
    found, wanted = results(run), results(expected)
    differing = [name for name in wanted if found[name] != wanted[name]]
    differing += [
        name
        for name in ("last.ckpt", "best.ckpt")
        if not is_same_checkpoint(run / CHECKPOINTS / name, expected / CHECKPOINTS / name)
    ]
    if differing:
        row.different += 1
        row.failed.append(f"another result: {', '.join(differing)}")
        for name in differing:
            row.failed.append(f"{name}: {found.get(name)} instead of {wanted.get(name)}")
    row.left += sum(run in part.parents or part.parent == root / LOGS for part in parts(root))


def results(run: Path) -> dict[str, Any]:
    """Return what a run says that it came to: the rows of its table, and its report."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    said = [{name: one for name, one in row.items() if one and is_certain(name)} for row in rows]
    curves = [row for row in said if row.keys() - {"step"}]
    report = read_report(run)
    return {"curves": curves, **{name: report[name] for name in ("best", "last", "raw", "steps")}}


def is_certain(name: str) -> bool:
    """Return whether each run measures the same."""
    return not name.startswith(("time/", "memory/"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return what the files below a folder hold."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def is_whole(path: Path) -> bool:
    """Return whether a file of a run can be read; parts of files need not."""
    if path.name.endswith(".part") or any(name.name.endswith(".part") for name in path.parents):
        return True
    try:
        if path.suffix == ".ckpt":
            return zipfile.ZipFile(path).testzip() is None and bool(load(path)["state_dict"])
        if path.name == "run.json":
            return bool(read_report(path.parent))
        return path.suffix != ".yaml" or bool(yaml.safe_load(path.read_text()))
    except (zipfile.BadZipFile, RuntimeError, OSError, UsageError, yaml.YAMLError):
        return False


def load(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def is_same_checkpoint(one: Path, other: Path) -> bool:
    """Return whether two checkpoints hold the same to the bit."""
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "best")
    first, second = load(one), load(other)
    for content in (first, second):
        states = content["callbacks"].items()
        content["best"] = {name: one for name, one in states if name.startswith("ModelCheckpoint")}
    return all(is_equal(first[name], second[name]) for name in kept)


def kill_predictions(folder: Path, checkpoint: Path, num_kills: int) -> Counts:
    """Kill predict, half of the times while it writes; return what was seen.

    Args:
        folder: A folder that holds the data.
        checkpoint: The checkpoint to enhance with.
        num_kills: Number of kills.
    """
    row = Counts()
    whole, killed = folder / "whole", folder / "killed"
    predict(whole, checkpoint).wait(300)
    while row.kills < num_kills:
        process = predict(killed, checkpoint)
        if kill(process, killed, while_writing=row.kills % 2 == 1, longest_s=2):
            row.kills += 1
            row.parts += bool(parts(killed))
            row.damaged += sum(not is_whole_image(path) for path in images(killed))
            if row.kills < num_kills:
                continue
            process = predict(killed, checkpoint)
        if process.wait(300).code != 0:
            row.failed.append(process.output)
        row.ended += 1
        row.different += not is_same_images(whole, killed)
        row.left += len(parts(killed))
        shutil.rmtree(killed)
    return row


def predict(folder: Path, checkpoint: Path) -> Process:
    """Start to enhance all images."""
    flags = [*PREDICT, f"--ckpt_path={checkpoint}", "--data.num_workers=0"]
    return start(command, *flags, folder=folder, name="log")


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


def parts(folder: Path) -> list[Path]:
    """Return the parts of files in a folder and below."""
    return list(folder.rglob(".*.part"))


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


def images(folder: Path) -> Iterator[Path]:
    """Return the enhanced images of a folder."""
    return (folder / "enhanced").glob("*.png")


def make_data(root: Path, num_images: int, side: int = 70) -> None:
    """Make a small dataset of images of about so many pixels, a quarter of which validates."""
    pairs = []
    for half in ("raw", "target"):
        (root / half).mkdir(parents=True)
    for i in range(num_images):
        target = smooth_image(side + i, side + 10, seed=i)
        np.save(root / f"raw/case{i}.npy", (16384 + target // 2).astype(np.uint16))
        np.save(root / f"target/case{i}.npy", target)
        split = "val" if i % 4 == 0 else "train"
        pairs.append(Pair(f"case{i}", f"p{i}", f"raw/case{i}.npy", f"target/case{i}.npy", split))
    write_manifest(root, pairs)


def page(rows: dict[str, Counts], arguments: argparse.Namespace, seconds: float) -> str:
    """Return what was seen, as a page."""
    columns = [one for one in fields(Counts) if one.metadata.get("title", "") is not None]
    lines = [
        f"| {' | '.join([name, *(str(getattr(row, one.name)) for one in columns)])} |"
        for name, row in rows.items()
    ]
    return "\n".join(
        [
            "# SIGKILL at random moments",
            "",
            f"`python tests/campaigns/kills.py --kills {arguments.kills} --predictions "
            f"{arguments.predictions} --seed {arguments.seed} > tests/campaigns/kills.md`,",
            f"{date.today()}, {seconds / 60:.0f} minutes on one of {os.cpu_count()} CPU cores that "
            f"others worked on, too; Python",
            f"{platform.python_version()}, PyTorch {torch.__version__}.",
            "",
            f"| {' | '.join(['', *(one.metadata.get('title', one.name) for one in columns)])} |",
            f"|---{'|--:' * len(columns)}|",
            *lines,
            "",
            "Training writes `last.ckpt` after each of its steps here, some runs with a worker "
            "that loads images, one of five with",
            "a plan of its step, and beside a run that has ended. Before a run has a folder, which "
            "it makes when its data is found,",
            "`last` is the run before: no other one has begun.",
            "A wrong run is one that `last` means, or whose files changed, though it is not the "
            "one that was killed. A result is",
            "another one where a bit of the weights, the optimizer, the schedule, a row of "
            "`metrics.csv` or an image differs from",
            "that of a command that was not killed.",
        ]
    )


def main() -> None:
    """Run both campaigns and print their page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills of training")
    parser.add_argument("--predictions", type=int, default=50, help="kills of predict")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    CONTEXT.set_forkserver_preload(PRELOADED)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_data(folder / "fit/data", 8)
        make_data(folder / "predict/data", NUM_IMAGES)
        fits = kill_fits(folder / "fit", arguments.kills)
        checkpoint = folder / "fit/wholeB" / LAST
        rows = {f"`fit`, {moment}": row for moment, row in fits.items()}
        rows["`predict`"] = kill_predictions(folder / "predict", checkpoint, arguments.predictions)
    sys.stdout.write(page(rows, arguments, time.monotonic() - began) + "\n")
    if not all(row.is_good for row in rows.values()):
        sys.exit("\n".join([str(rows), *(said for row in rows.values() for said in row.failed)]))


if __name__ == "__main__":
    main()
