"""`radenhance reproduce OUT`: plan, run, report.

A plan says beforehand what does not fit into the machine or the time; that is left out and shown as
planned. The report is written in the end even where runs failed, and says so.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from radenhance.console import Parser, hush_libraries, say
from radenhance.errors import UsageError
from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce.logs import read_figures
from radenhance.reproduce.machine import accelerator, memory_bytes
from radenhance.reproduce.paper import FOR_USE, ORIGINAL, RECIPES
from radenhance.reproduce.plans import planned
from radenhance.reproduce.report import write_report
from radenhance.reproduce.results import Results
from radenhance.reproduce.running import run_all
from radenhance.reproduce.study import Run, Study

PAPER_SIZES = (512, 1024, 2048)
QUICK_EPOCHS = 6
QUICK_BATCH_SIZE = 2
"""Of few steps, batches of one leave BatchNorm with statistics that fit no whole image."""
PROCESS_BYTES = 3 * 2**29
"""What Python and PyTorch take on a CPU beside the tensors."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance reproduce`.

    Raises:
        UsageError: A flag is wrong, or runs failed.
    """
    options = parser().parse_args(list(arguments[1:]))
    hush_libraries()
    study = study_of(options)
    study.claim()
    if options.data is None and not study.data.exists():
        synthesize(study.data)
    _plan_all(study)
    for size in study.sizes:
        runs = [run for run in study.runs if run.size == size]
        run_all([run for run in runs if _fits(run) and _is_quick(run, options.max_hours)], say)
    results = Results(study)
    say(f"Report: {write_report(results).resolve()}")
    if results.failures:
        (recipe, size), said = next(iter(results.failures.items()))
        raise UsageError(f"{recipe} at {size} px failed, and the report says so: {said}")


def study_of(options: argparse.Namespace) -> Study:
    """Return the study that the options describe."""
    quick = options.quick
    sizes = options.sizes or ((192,) if quick else PAPER_SIZES)
    return Study(
        out=options.out,
        data=options.data or options.out / "radiographs",
        sizes=sizes,
        epochs=options.epochs or (QUICK_EPOCHS if quick else 50),
        recipes=options.recipes,
        seeds=options.seeds or ((0, 1) if quick else (0, 1, 2)),
        encoder=options.encoder or ("resnet18" if quick else None),
        memory_sizes=PAPER_SIZES if quick else sizes,
        batch_size=options.batch_size or (QUICK_BATCH_SIZE if quick else 1),
        learning_rate=options.learning_rate,
    )


def _plan_all(study: Study) -> None:
    sizes = dict.fromkeys((*study.sizes, *study.memory_sizes))
    say(f"Planning {len(study.recipes)} recipes at {', '.join(map(str, sizes))} px")
    for size in sizes:
        encoder = study.encoder if size in study.sizes else None
        for recipe in study.recipes:
            planned(study.out, recipe, size, encoder)


def _fits(run: Run) -> bool:
    """Return whether the machine has the memory for a run; say so if not."""
    needed = planned(run.study.out, run.recipe, run.size, run.study.encoder).needed_bytes
    if accelerator() == "cpu":
        needed = (needed + PROCESS_BYTES) * run.num_processes
    if needed <= memory_bytes():
        return True
    say(f"{run.title}: planned only, as it needs {needed / 2**30:.1f} GiB")
    return False


def _is_quick(run: Run, max_hours: float | None) -> bool:
    """Return whether a run ends in time, by the original's run at the size before."""
    before = [size for size in run.study.sizes if size < run.size]
    if max_hours is None or not before or run.is_finished:
        return True
    reference = Run(run.study, ORIGINAL, max(before), run.study.seeds[0])
    if not reference.is_finished:
        return True
    growth = (run.size / reference.size) ** 2
    hours = read_figures(reference.folder).epoch_s * growth * run.study.epochs / 3600
    if hours > max_hours:
        say(f"{run.title}: planned only, as it would take about {hours:.1f} hours")
    return hours <= max_hours


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's flags."""
    flags = Parser(
        prog="radenhance reproduce",
        description="Remake the paper's tables and figures, its numbers beside ours: train every "
        "recipe, each run in a process of its own. It may be stopped at any time; the same command "
        "resumes it. What this machine cannot run is planned instead, and marked as planned.",
        epilog="radenhance reproduce study --quick",
    )
    flags.add_argument("out", type=Path, help="folder for runs and report")
    flags.add_argument(
        "--data", type=Path, help="dataset folder (synthetic radiographs, made in OUT)"
    )
    flags.add_argument(
        "--sizes", type=_numbers, metavar="N,N", help="image sides in pixels (512,1024,2048)"
    )
    flags.add_argument("--epochs", type=int, help="number of epochs of each run (50)")
    flags.add_argument(
        "--recipes",
        type=lambda text: tuple(text.split(",")),
        default=(*RECIPES, *FOR_USE),
        metavar="NAME,NAME",
        help=f"recipes to train, without .yaml ({','.join((*RECIPES, *FOR_USE))})",
    )
    flags.add_argument(
        "--seeds", type=_numbers, metavar="N,N", help="seeds to train each recipe with (0,1,2)"
    )
    flags.add_argument("--encoder", help="encoder of all networks (that of the recipe)")
    flags.add_argument("--batch-size", type=int, help="images that BatchNorm sees at a time (1)")
    flags.add_argument("--learning-rate", type=float, help="that of Adam (the recipes' own)")
    flags.add_argument(
        "--max-hours", type=float, help="plan runs that would take longer, instead of training them"
    )
    flags.add_argument(
        "--quick",
        action="store_true",
        help=f"finish in about 40 minutes on two cores: resnet18, 192 px, {QUICK_EPOCHS} epochs, "
        f"seeds 0 and 1, batches of {QUICK_BATCH_SIZE}",
    )
    return flags


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers such as 512,1024"
        ) from None
