"""`radenhance compare`: runs side by side on a page of one file.

Beside TensorBoard, where a run is a name in a list, this shows what somebody asks who chooses one:
what it came to beside the raw image, what it took, what was different, and what its images look
like, of the same radiographs for all.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from radenhance import metric_names
from radenhance.callbacks.run_folder import METRICS
from radenhance.command_line.curves import Curve, curves_svg
from radenhance.console import Parser, say
from radenhance.contact_sheet import Row, contact_sheet_png
from radenhance.datamodule import DEFAULT_ROOT, FINGERPRINT, RadiographDataModule
from radenhance.dataset.pairs import PairDataset
from radenhance.errors import UsageError
from radenhance.files import replace_file
from radenhance.foreign_text import in_html, one_line
from radenhance.inference.evaluation import enhanced_by, open_pair
from radenhance.inference.model import NetworkEnhancer, open_enhancer
from radenhance.runs import CHECKPOINTS, LOGS, NUMBER, REPORT, read_report
from radenhance.web_page import html_picture, html_table, web_page

FIGURES = {
    "loss": (metric_names.LOSS, 3),
    "MS-SSIM": (metric_names.MS_SSIM, 4),
    "PSNR, dB": (metric_names.PSNR, 2),
}
"""Title of a measure -> its name in a report, and digits behind the point."""

ACROSS = 4
"""Images of runs in a row, beside raw and target; more would be too small to judge."""


@dataclass(frozen=True)
class Compared:
    """A run as it is compared.

    Args:
        folder: Its folder.
        report: Its run.json.
        losses: Validation loss by epoch.
    """

    folder: Path
    report: Mapping[str, Any]
    losses: Curve = field(default=())

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a part of its report, of no entries where it has none."""
        found = self.report.get(name)
        return found if isinstance(found, Mapping) else {}

    def figure(self, section: str, name: str) -> float | None:
        """Return a figure of a part of its report, None where it has none."""
        found = self.section(section).get(name)
        return found if isinstance(found, int | float) else None


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance compare [RUNS]`.

    Raises:
        UsageError: There is no run to compare.
        RadenhanceError: The dataset is not right, or the page cannot be written.
    """
    options = _parser().parse_args(arguments[1:])
    runs, notes = read_runs(options.runs or _all_runs())
    drawn, said = _drawn_images(options, runs) if options.cases else ("", [])
    replace_file(options.out, page(runs, [*notes, *said], drawn).encode())
    for note in (*notes, *said):
        say(note)
    say(f"Page of {len(runs)} {'run' if len(runs) == 1 else 'runs'}: {options.out.resolve()}")


def _parser() -> Parser:
    parser = Parser(
        prog="radenhance compare",
        description="Write a page, one file, that compares runs: what they came to beside the raw "
        "image, memory and seconds, the flags that differ, the curves of the loss, and the same "
        "validation radiographs enhanced by all of them.",
        epilog="example: radenhance compare lightning_logs/original_512_0 lightning_logs/amp_512_1",
    )
    add = parser.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help=f"folders of runs (all under {LOGS})")
    add("--out", type=Path, default=Path("compare.html"), help="page to write (compare.html)")
    add("--ckpt", choices=("best", "last"), default="best", help="checkpoint of each run (best)")
    add("--cases", type=int, default=3, metavar="N", help="radiographs to show; 0 for none (3)")
    add("--root", type=Path, default=DEFAULT_ROOT, help=f"dataset to show ({DEFAULT_ROOT})")
    add("--log-names", action="store_true", help="name files, not numbers of cases")
    return parser


def _all_runs() -> list[Path]:
    return sorted(path for path in Path(LOGS).glob("[!.]*") if (path / REPORT).is_file())


def read_runs(folders: Sequence[Path]) -> tuple[list[Compared], list[str]]:
    """Return runs in the order of their numbers, and a sentence for each that cannot be shown.

    Args:
        folders: The folders of the runs.

    Raises:
        UsageError: There is none that can be shown.
    """
    runs, notes = [], []
    for folder in folders:
        if not (folder / REPORT).is_file():
            notes.append(
                f"{folder.name} has no {REPORT}: it is no run, or one of an earlier version"
            )
            continue
        try:
            report = read_report(folder)
        except UsageError:
            notes.append(f"{folder.name} is left out: its {REPORT} is damaged")
            continue
        runs.append(Compared(folder, report, _losses(folder / METRICS)))
    if not runs:
        why = notes[0] if notes else f"{LOGS} holds no run; start one with `radenhance fit`"
        raise UsageError(f"there is nothing to compare: {why}")
    return sorted(runs, key=lambda run: (int(run.report[NUMBER]), run.name)), notes


def _losses(table: Path) -> Curve:
    """Return (epoch, validation loss), epochs counted from 1; a line that is cut is left out."""
    if not table.is_file():
        return ()
    found = {}
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                epoch, loss = float(row["epoch"]), float(row[metric_names.VAL_LOSS])
            except (KeyError, TypeError, ValueError):  # of a step, or half a line
                continue
            if np.isfinite([epoch, loss]).all():
                found[epoch + 1] = loss
    return sorted(found.items())


def page(runs: Sequence[Compared], notes: Sequence[str], images: str) -> str:
    """Return the page.

    Args:
        runs: The runs.
        notes: Sentences of what is left out.
        images: Images of all of them, as HTML.
    """
    parts = [f"<p>{in_html(note)}</p>" for note in (*_doubts(runs), *notes)]
    columns = ["run", "best epoch", *FIGURES, *(f"{title} of the raw image" for title in FIGURES)]
    sources = list(dict.fromkeys(source for run in runs for source in run.section("peak_mib")))
    columns += ["last loss", "steps", "seconds", *(f"peak, MiB ({one})" for one in sources)]
    parts.append(html_table(columns, [_row_of(run, sources) for run in runs]))
    losses = (run.figure("raw", metric_names.LOSS) for run in runs)
    # in other batches, types or devices the sums of the same images differ by less than is shown
    raw = {round(loss, FIGURES["loss"][1]) for loss in losses if loss is not None}
    curves = {run.name: run.losses for run in runs if run.losses}
    line = raw.pop() if len(raw) == 1 else None
    parts.append(curves_svg("Validation loss by epoch", curves, line, "raw image"))
    parts += ["<h2>What differs</h2>", _differences(runs)]
    if images:
        parts += ["<h2>The same radiographs</h2>", images]
    return web_page("Runs compared", parts)


def _row_of(run: Compared, sources: Sequence[str]) -> list[str]:
    epoch, last = run.figure("best", "epoch"), run.figure("last", metric_names.LOSS)
    steps, seconds = (run.report.get(name) for name in ("steps", "seconds"))
    return [
        run.name,
        _written(None if epoch is None else epoch + 1, 0),
        *(_written(run.figure("best", name), digits) for name, digits in FIGURES.values()),
        *(_written(run.figure("raw", name), digits) for name, digits in FIGURES.values()),
        _written(last, 3),
        _written(steps, 0),
        _written(seconds, 0),
        *(_written(run.figure("peak_mib", source), 0) for source in sources),
    ]


def _written(value: object, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else ""


def _doubts(runs: Sequence[Compared]) -> Iterator[str]:
    """Yield why figures of the runs cannot be compared, or are not there."""
    unmeasured = [run.name for run in runs if not run.section("last")]
    if unmeasured:
        yield f"No epoch has ended, so there is nothing to compare yet: {', '.join(unmeasured)}."
    if len({str(run.report.get("data")) for run in runs}) > 1:
        yield "These runs have different datasets: their losses are not to be compared."
    sizes = {str(run.section("flags").get("data.image_size")) for run in runs}
    if len(sizes) > 1:
        listed = ", ".join(sorted(sizes))
        yield f"These runs validate images of different sizes ({listed}): so do their losses."


def _differences(runs: Sequence[Compared]) -> str:
    flags = [{**run.section("flags"), **run.section("versions")} for run in runs]
    names = dict.fromkeys(name for one in flags for name in one)
    differing = [name for name in names if len({str(one.get(name)) for one in flags}) > 1]
    if not differing:
        return "<p>None of the flags that runs are compared by.</p>"
    rows = [
        [run.name, *(one_line(one.get(name, "")) for name in differing)]
        for run, one in zip(runs, flags, strict=True)
    ]
    return html_table(["run", *differing], rows)


def _drawn_images(options: Any, runs: Sequence[Compared]) -> tuple[str, list[str]]:
    """Return the same radiographs as all runs enhance them, as HTML, and what is left out."""
    notes = []
    networks: dict[str, NetworkEnhancer] = {}
    for run in runs:
        path = run.folder / CHECKPOINTS / f"{options.ckpt}.ckpt"
        if not path.is_file():
            notes.append(f"{run.name} has no {options.ckpt}.ckpt, hence no images")
            continue
        try:
            networks[run.name] = open_enhancer(path)
        except UsageError:
            notes.append(f"{run.name} has no images, as its {options.ckpt}.ckpt cannot be used")
    if not networks:
        return "", notes
    if not options.root.is_dir():
        return "", [*notes, "there is no dataset to show images of; name one with --root"]
    data = RadiographDataModule(
        options.root,
        image_size="native",
        intensity_range=next(iter(networks.values())).input["intensity_range"],
        num_workers=0,
        cache=False,
        log_names=options.log_names,
    )
    data.setup("evaluate")
    shown = data.state_dict()[FINGERPRINT]
    others = [run.name for run in runs if run.report.get("data") not in (None, shown)]
    if others:
        notes.append(f"the images are not of the dataset of {', '.join(others)}")
    rows = list(_rows(data.whole_images("val"), networks, options.cases))
    return html_picture(contact_sheet_png(rows), "raw, target, and each run's image"), notes


def _rows(
    dataset: PairDataset, networks: Mapping[str, NetworkEnhancer], most: int
) -> Iterator[Row]:
    """Yield the radiographs that stand for the split: some, equally far from each other."""
    wanted = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round().astype(int)
    for index in dict.fromkeys(wanted.tolist()):
        opened = open_pair(dataset, index)
        names = list(networks)
        for first in range(0, len(names), ACROSS):
            shown = names[first : first + ACROSS]
            images = [enhanced_by(networks[name], opened) for name in shown]
            title, columns = dataset.cases[index], ["raw", "target", *shown]
            yield Row(title, [opened.raw, opened.target, *images], columns)
