"""`radenhance folds`: k-fold cross-validation of what flags of `fit` describe."""

import json
import shlex
import signal
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from radenhance import __version__
from radenhance.command_line.evaluation_table import report
from radenhance.command_line.wording import log_in_flags
from radenhance.console import Parser, guard_logs, hush_libraries, say
from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.flags.parser import parse_flags
from radenhance.folds.cross_validation import CrossValidation, Fold, Kept, pooled
from radenhance.folds.table import as_csv, as_markdown, rows_of
from radenhance.inference.evaluation import Evaluation
from radenhance.inference.evaluation_files import write_csv
from radenhance.prepare.passed_over import refuse_failures
from radenhance.reproduce.running import run_all
from radenhance.reproduce.study import FAILED

SET_HERE = {
    "ckpt_path": "folds go on by themselves",
    "data.fold": "all are trained",
    "data.num_folds": "give --folds",
    "run_name": "each fold has a run",
    "trainer.default_root_dir": "give --out",
    "trainer.fast_dev_run": "it leaves nothing to measure",
}
"""Flags of `fit` that are not for this command, and why."""


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance folds`.

    Raises:
        UsageError: A flag is wrong, or a fold failed.
        RadenhanceError: The dataset is not right, or something cannot be written.
        BatchError: Radiographs had to be passed over; all others are measured.
    """
    options, typed = _parser().parse_known_args(list(arguments[1:]))
    if options.folds < 2:
        raise UsageError(f"--folds is {options.folds}, expected at least 2")
    hush_libraries()
    _refuse_what_is_set_here({word.partition("=")[0].removeprefix("--") for word in typed})
    flags = parse_flags("fit", typed)
    guard_logs()  # Lightning has set up its log by now
    log_in_flags()
    is_set = {name for name in SET_HERE if flags.settings.get(name) not in (None, False)}
    _refuse_what_is_set_here(is_set)
    whole = CrossValidation(options.out, options.folds, tuple(typed), flags)
    whole.claim()
    folds = whole.folds
    say(f"{len(folds)} folds; what they print is in {folds[0].folder / 'log0.txt'} and so on")
    with _ended_with_its_runs():
        run_all(folds, say, side_by_side=False)
    _refuse_failures(folds)
    evaluations = [fold.evaluate(options.ckpt) for fold in folds]
    _report(whole, evaluations, options.ckpt)


def _parser() -> Parser:
    parser = Parser(
        prog="radenhance folds",
        description="Train as many networks as there are folds, each without the patients of one, "
        "measure each on those, and write the table of folds. It may be stopped at any time; the "
        "same command goes on. Takes all flags and recipes of `radenhance fit` as well.",
        epilog="example: radenhance folds --config original.yaml --data.root my_radiographs "
        "--folds 5",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--folds", type=int, default=5, metavar="N", help="number of folds, at least 2 (5)")
    add("--out", type=Path, default=Path("folds"), help="folder for runs and tables (folds)")
    add(
        "--ckpt",
        choices=("last", "best"),
        default="last",
        help="checkpoint of each fold to measure; best is the one that these radiographs chose "
        "(last)",
    )
    return parser


def _refuse_what_is_set_here(given: Container[str]) -> None:
    for name, why in SET_HERE.items():
        if name in given:
            raise UsageError(f"--{name} is not for radenhance folds: {why}; leave it out")


@contextmanager
def _ended_with_its_runs() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise, as Ctrl-C does, so that the fold that trains is told."""

    def end(signum: int, frame: FrameType | None) -> None:
        sys.exit(128 + signum)

    stops = [
        stop
        for stop in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(stop) != signal.SIG_IGN  # as nohup has it
    ]
    before = {stop: signal.signal(stop, end) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _refuse_failures(folds: Sequence[Fold]) -> None:
    for fold in folds:
        failed = fold.folder / FAILED
        if failed.is_file():
            said = failed.read_text(encoding="utf-8").removeprefix("radenhance: ")
            raise UsageError(
                f"{fold.title} failed: {said} (see {fold.folder / 'log0.txt'}); the same command "
                f"goes on with what is not finished"
            )


def _report(whole: CrossValidation, evaluations: Sequence[Evaluation], kept: Kept) -> None:
    """Write all tables, and print what they come to.

    Raises:
        BatchError: Radiographs had to be passed over; all others are measured.
    """
    together = pooled(evaluations)
    rows = rows_of(together, [len(one.cases) for one in evaluations])
    size = whole.flags.settings.data.image_size
    notes = list(_notes(kept))
    text = "\n\n".join([as_markdown(rows), *notes])
    title = f"All folds together: {len(together.cases)} radiographs, whole, size {size}"
    beside = report(together, title=title, notes=())
    checkpoints = [fold.checkpoint(kept) for fold in whole.folds]
    content = {
        "radenhance": __version__,
        "folds": whole.num_folds,
        "ckpt": kept,
        "runs": [path.parent.parent.name for path in checkpoints if path is not None],
        "notes": notes,
        "rows": rows,
        "failures": [asdict(failure) for failure in together.failures],
    }
    written = {
        "folds.md": f"{text}\n\n```\n{beside}\n```\n",
        "folds.csv": as_csv(rows),
        "folds.json": json.dumps(content, indent=2, allow_nan=False) + "\n",
    }
    for name, file in written.items():
        replace_file(whole.out / name, file.encode())
    write_csv(whole.out / "radiographs.csv", together)
    say(f"\n{text}\n\n{beside}\n")
    say(f"Tables: {whole.out / 'folds'}.md, .csv, .json; {whole.out / 'radiographs.csv'}")
    networks = " ".join(shlex.quote(str(path)) for path in checkpoints)
    say(f"Next, the mean of all networks: radenhance enhance {networks} EXAMS --out enhanced")
    refuse_failures(together.failures, num_done=len(together.cases), done="measured")


def _notes(kept: Kept) -> Iterator[str]:
    yield (
        f"Each radiograph was enhanced by the {kept}.ckpt of the fold in which its patient "
        f"validated. The difference from the raw image has a 95 % interval over patients "
        f"(bootstrap), where there are enough; how other patients in training would change the "
        f"networks is not in it, as any two of them share most of theirs."
    )
    if kept == "best":
        yield "The same radiographs chose which epoch is best.ckpt: a test split would not flatter."
