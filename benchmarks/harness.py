"""What the benchmarks share: flags, tables, paired timing, fits and processes.

A figure is worth something with the command, the machine and the versions beside it, so that every
table begins with them. Ratios are of pairs measured in turns, so that what else the machine does
falls on both. What `radenhance reproduce` has for its own runs is used from there.
"""

import argparse
import logging
import os
import shlex
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from radenhance import metric_names
from radenhance.arrays import Image
from radenhance.callbacks.gauges import ProcessGauge
from radenhance.checkpoint import Checkpoint
from radenhance.enhancer import ContrastEnhancer
from radenhance.prepare.synthesize import synthesize
from radenhance.reference_enhancer.pyramid import decompose
from radenhance.reproduce.machine import described, machine
from radenhance.reproduce.running import ONE_THREAD, launch


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser whose help is a script's docstring, and the defaults of its flags."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    return argparse.ArgumentParser(description=doc, formatter_class=Formatter)


def fine_power(image: Image, target: Image) -> list[float]:
    """Return the power in the two finest pyramid levels over the target's, finest first."""
    levels, wanted = (decompose(shown, 2)[:2] for shown in (image, target))
    pairs = zip(levels, wanted, strict=True)
    return [float((level**2).mean() / (other**2).mean()) for level, other in pairs]


def listed(text: str) -> list[str]:
    """Return the words between commas; for `type` of a flag."""
    return [word for word in text.split(",") if word]


def listed_numbers(text: str) -> list[int]:
    """Return the numbers between commas; for `type` of a flag."""
    return list(map(int, listed(text)))


def print_heading(*facts: str) -> None:
    """Print the command, machine and versions, and what else a reader has to know."""
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    lines = ["    " + shlex.join(["python", script, *sys.argv[1:]]), "", described(machine())]
    print("\n".join([*lines, *facts, ""]), flush=True)


@contextmanager
def table(*columns: str, names: Iterable[str] = ()) -> Iterator[Callable[..., None]]:
    """Print a table row by row, aligned, as Markdown; yield what prints a row of cells.

    Args:
        columns: Headings. The first column holds names, the others hold figures.
        names: All names of the first column, for its width.
    """
    widths = [max(map(len, (columns[0], *names))), *(max(len(text), 7) for text in columns[1:])]

    def row(*cells: object) -> None:
        if len(cells) != len(columns):
            raise ValueError(f"a row has {len(cells)} cells, the table {len(columns)} columns")
        first, *others = map(str, cells)
        padded = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        print(f"| {' | '.join([first.ljust(widths[0]), *padded])} |", flush=True)

    row(*columns)
    row("-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:]))
    yield row
    print()


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def best(function: Callable[[], object], repeats: int = 3) -> float:
    """Return the seconds of the fastest of several calls."""
    return min(seconds(function) for _ in range(repeats))


@dataclass(frozen=True)
class Ratio:
    """Times of one function over those of another.

    Args:
        median: Ratio of the medians.
        lowest: Smallest ratio of a pair.
        highest: Largest ratio of a pair.
    """

    median: float
    lowest: float
    highest: float


def paired(
    base: Callable[[], object],
    other: Callable[[], object],
    repeats: int,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> Ratio:
    """Time two functions in turns, after one call of each that does not count.

    Args:
        base: Function whose time is 1.
        other: Function to compare with it.
        repeats: Number of pairs.
        clock: Function that calls one and returns its seconds.
    """
    base()
    other()
    pairs = [(clock(base), clock(other)) for _ in range(repeats)]
    before, after = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [theirs / ours for ours, theirs in pairs]
    return Ratio(after / before, min(ratios), max(ratios))


def fit(
    flags: Mapping[str, object], folder: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run `radenhance fit` in a process of its own; one that fails ends the script in a sentence.

    Args:
        flags: Flags of `fit`, dashes included, and their values.
        folder: Folder for its logs and checkpoints.
        environment: Further variables of the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    common = {
        "--trainer.accelerator": "cpu",
        "--trainer.enable_progress_bar": "false",
        "--trainer.default_root_dir": folder.resolve(),
    }
    words = [str(word) for pair in (common | dict(flags)).items() for word in pair]
    command = [sys.executable, "-m", "radenhance", "fit", *words]
    error = launch(command, folder, environment={**ONE_THREAD, **(environment or {})})
    if error is not None:
        sys.exit(f"the fit failed, see {folder / 'log0.txt'}: {error}")


FEW = {"cat": 8, "dog": 8, "turtle": 0}
"""Radiographs of a quick run."""


def quickstart(out: Path, *, full: bool) -> tuple[ContrastEnhancer, Path]:
    """Return a network that quickstart.yaml trained, and its dataset; what is in `out` is used.

    Args:
        out: Folder of radiographs and network.
        full: Whether to train on the default radiographs for the recipe's epochs; else on few and
            coarse ones for two, which shows only that it runs.
    """
    root, folder = out / "radiographs", out / "network"
    if not root.exists():
        if full:
            synthesize(root)
        else:
            synthesize(root, counts=FEW, spacing_mm=0.6)
    if not any(folder.rglob("last.ckpt")):
        flags: dict[str, object] = {"--config": "quickstart.yaml", "--data.root": root.resolve()}
        fit(flags if full else flags | {"--trainer.max_epochs": 2}, folder)
    (checkpoint,) = folder.rglob("last.ckpt")
    return ContrastEnhancer.from_checkpoint(Checkpoint.open(checkpoint)).eval(), root


def resident_rise(function: Callable[[], object]) -> int:
    """Return by how many bytes a call raises the resident memory of this process at most."""
    gauge = ProcessGauge(period_s=0.01)
    before = gauge.read()[metric_names.PROCESS_RSS].level
    function()
    highest = gauge.read()[metric_names.PROCESS_RSS].highest
    gauge.stop()
    return highest - before


def train_on_noise(
    *callbacks: Callback,
    encoder: str,
    size: int,
    num_images: int,
    batch_size: int = 1,
    **settings: Any,
) -> None:
    """Train for an epoch on the processor, one thread, on images of noise; no files are written.

    Args:
        callbacks: What measures.
        encoder: Encoder of the network.
        size: Side of the images in pixels.
        num_images: Number of images.
        batch_size: Images per batch.
        settings: Further arguments of the Trainer.
    """
    for part in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{part}").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(1)
    images = [
        {"raw": torch.rand(1, size, size), "target": torch.rand(1, size, size), "case": str(i)}
        for i in range(num_images)
    ]
    off = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 1,
            "callbacks": [*callbacks],
            **off,
            **settings,
        }
    )
    trainer.fit(ContrastEnhancer(encoder, num_scales="auto"), DataLoader(images, batch_size))


def in_processes(function: Callable[..., Any], *arguments: object, num: int = 1) -> list[Any]:
    """Return what a function returns in new processes, each of them a node of the others.

    Args:
        function: Function of a module, which is imported anew in each process.
        arguments: Arguments of the function.
        num: Number of processes.

    Raises:
        torch.multiprocessing.ProcessRaisedException: One failed; the others have been ended.
    """
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    call = partial(function, *arguments)
    torch.multiprocessing.spawn(
        _in_process, (call, num, find_free_network_port(), results), nprocs=num
    )
    found = dict(results.get() for _ in range(num))
    return [found[rank] for rank in range(num)]


def _in_process(rank: int, call: Callable[[], Any], num: int, port: int, results: Any) -> None:
    if num > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank)}
    results.put((rank, call()))


def chosen(wanted: Sequence[str] | None, offered: Sequence[str]) -> list[str]:
    """Return the wanted names, or all; a name that is not offered ends the script in a sentence."""
    unknown = sorted(set(wanted or ()) - set(offered))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not among {', '.join(offered)}")
    return list(wanted or offered)
