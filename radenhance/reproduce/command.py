"""`radenhance reproduce OUT`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from radenhance.console import hush_libraries, say
from radenhance.errors import UsageError
from radenhance.prepare.synthesize import synthesize
from radenhance.reproduce.logs import read_figures
from radenhance.reproduce.machine import accelerator, memory_bytes
from radenhance.reproduce.paper import ORIGINAL, RECIPES
from radenhance.reproduce.plans import planned
from radenhance.reproduce.report import write_report
from radenhance.reproduce.results import Results
from radenhance.reproduce.running import run_all
from radenhance.reproduce.study import Run, Study

PAPER_SIZES = (512, 1024, 2048)
QUICK_ANIMALS = {"cat": 10, "dog": 14, "turtle": 0}
QUICK_SPACING_MM = 0.8
PROCESS_BYTES = 3 * 2**29
"""Of Python and PyTorch, beside the tensors, on a CPU."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance reproduce`.

    Raises:
        UsageError: A flag is wrong, or runs failed.
    """
    options = _parser().parse_args(list(arguments[1:]))
    hush_libraries()
    study = study_of(options)
    study.claim()
    if options.data is None and not study.data.exists():
        if options.quick:
            synthesize(study.data, counts=QUICK_ANIMALS, spacing_mm=QUICK_SPACING_MM)
        else:
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
    """Return what the options ask for."""
    quick = options.quick
    sizes = options.sizes or ((192,) if quick else PAPER_SIZES)
    return Study(
        out=options.out,
        data=options.data or options.out / "radiographs",
        sizes=sizes,
        epochs=options.epochs or (6 if quick else 50),
        recipes=options.recipes,
        seeds=options.seeds or ((0, 1) if quick else (0, 1, 2)),
        encoder=options.encoder or ("resnet18" if quick else None),
        memory_sizes=PAPER_SIZES if quick else sizes,
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="radenhance reproduce",
        description="Remake the paper's tables and figures, its numbers beside ours: train every "
        "recipe, each run in a process of its own. Stop it when you like; the same command goes "
        "on. What this machine cannot run is planned, and marked so.",
        epilog="radenhance reproduce study --quick",
    )
    parser.add_argument("out", type=Path, help="folder of runs and report")
    parser.add_argument(
        "--data", type=Path, help="dataset folder; synthetic radiographs when left out"
    )
    parser.add_argument(
        "--sizes", type=_numbers, metavar="N,N", help="sides in pixels (512,1024,2048)"
    )
    parser.add_argument("--epochs", type=int, help="of each run (50)")
    parser.add_argument(
        "--recipes",
        type=lambda text: tuple(text.split(",")),
        default=RECIPES,
        metavar="NAME,NAME",
        help=f"names without .yaml ({','.join(RECIPES)})",
    )
    parser.add_argument("--seeds", type=_numbers, metavar="N,N", help="of each recipe (0,1,2)")
    parser.add_argument("--encoder", help="in place of the recipes' own")
    parser.add_argument(
        "--max-hours", type=float, help="plan instead of running what would take longer"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="within half an hour on two cores: resnet18, 192 px, 6 epochs, seeds 0,1, 24 small "
        "radiographs",
    )
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers; write 512,1024") from None
