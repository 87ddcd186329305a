"""The report as Markdown, as one HTML file, and as CSV.

Markdown is for a repository, the page for whoever gets one file by mail, and CSV for whoever goes
on calculating: all three are made of the same tables, so that they cannot differ.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radenhance.files import replace_file
from radenhance.foreign_text import in_csv, in_html, one_line
from radenhance.reproduce.claims import claims, take_home
from radenhance.reproduce.machine import described, machine
from radenhance.reproduce.pictures import Bars, Picture, bars, pictures
from radenhance.reproduce.results import Results
from radenhance.reproduce.study import FAILED, FINISHED, RUNS
from radenhance.reproduce.tables import Table, tables
from radenhance.web_page import html_picture, html_table, web_page

FIGURES_OF = {"table_I_losses": ("2", "3"), "table_IV_losses": ("4", "5", "6", "7")}
"""Table -> the paper's figures of its recipes: tables and figures then stand in their order."""
NOTES = (
    "`measured` memory is that of PyTorch's allocator on a GPU, by the memory profiler; `planned` "
    "memory is that of the same step on fake tensors (`radenhance plan`): what could not run here, "
    "or ran without a GPU. Plans of sizes that did not run are of the recipe's own network. Of two "
    "GPUs the mean is given, as in the paper. Losses are those of the last epoch. The raw image is "
    "as the network sees it, black outside the exposed field; the lookup table is one monotone "
    "curve for all images, with the least squared error on the training pairs. Intervals are of "
    "the differences by seed, at 95 %: they hold for these radiographs, not for others."
)


@dataclass(frozen=True)
class Section:
    """A table, below the figures of the same recipes.

    Args:
        table: The table.
        figures: What stands before it.
    """

    table: Table
    figures: Sequence[Bars | Picture]


def write_report(results: Results) -> Path:
    """Write report.md, report.html, figures and CSV into the study's folder; return the page."""
    out = results.study.out
    figures: list[Bars | Picture] = [*bars(results), *pictures(results, out)]
    for figure in figures:
        if isinstance(figure, Bars):
            replace_file(out / _file_of(figure), figure.svg.encode())
    made = tables(results)
    for table in made:
        replace_file(out / f"{table.name}.csv", _csv(table).encode())
    sections = [Section(table, _figures_of(table, figures)) for table in made]
    replace_file(out / "report.md", _markdown(results, sections).encode())
    page = out / "report.html"
    replace_file(page, _html(results, sections).encode())
    return page


def _figures_of(table: Table, figures: Sequence[Bars | Picture]) -> list[Bars | Picture]:
    numbers = FIGURES_OF.get(table.name, ())
    return sorted(
        (figure for figure in figures if figure.number in numbers),
        key=lambda figure: figure.number,
    )


def _heading(results: Results) -> list[str]:
    study = results.study
    done = sum(len(figures) for figures in results.figures.values())
    return [
        f"{done} of {len(study.runs)} runs are done: {one_line(study.encoder or 'ResNet-34')}, "
        f"{', '.join(map(str, study.sizes))} px, {study.epochs} epochs, seeds "
        f"{', '.join(map(str, study.seeds))}, batches of {study.batch_size}.",
        f"{described(_machine_of(results))}.",
    ]


def _machine_of(results: Results) -> dict[str, Any]:
    """Return what the first finished run noted of its machine, or this one when none is done."""
    for runs in results.runs.values():
        noted: dict[str, Any] = json.loads((runs[0].folder / FINISHED).read_text("utf-8"))
        return noted
    return machine()


def _failures(results: Results) -> list[str]:
    """Say which recipes failed, and not in their own words: these may name a patient's file."""
    return [
        f"{recipe} at {size} px failed; {FAILED} in its folder below {RUNS}/ says why"
        for recipe, size in sorted(results.failures)
    ]


def _markdown(results: Results, sections: Sequence[Section]) -> str:
    lines = ["# The paper's tables and figures, and ours", "", f"**{take_home(results)}**", ""]
    lines += [f"- {line}" for line in (*claims(results), *_failures(results))]
    for section in sections:
        for figure in section.figures:
            lines += ["", f"## {figure.title}", "", f"![{figure.title}]({_file_of(figure)})"]
        table = section.table
        lines += ["", f"## {table.title}", "", _markdown_row(table.columns)]
        lines += [_markdown_row(["---"] + ["---:"] * (len(table.columns) - 1))]
        lines += [_markdown_row(row) for row in table.rows]
    lines += ["", "## How it was made", "", *_heading(results), "", NOTES]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _html(results: Results, sections: Sequence[Section]) -> str:
    claimed = "".join(
        f"<li>{in_html(line)}</li>" for line in (*claims(results), *_failures(results))
    )
    parts = [f"<p><b>{in_html(take_home(results))}</b></p><ul>{claimed}</ul>"]
    for section in sections:
        for figure in section.figures:
            parts.append(f"<h2>{in_html(figure.title)}</h2>{_drawn(figure)}")
        table = section.table
        parts.append(f"<h2>{in_html(table.title)}</h2>{html_table(table.columns, table.rows)}")
    parts.append("<h2>How it was made</h2>")
    parts += [f"<p>{in_html(line)}</p>" for line in (*_heading(results), NOTES.replace("`", ""))]
    return web_page("The paper's tables and figures, and ours", parts)


def _drawn(figure: Bars | Picture) -> str:
    if isinstance(figure, Bars):
        return figure.svg
    return html_picture(figure.path.read_bytes(), figure.title)


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([in_csv(one_line(cell)) for cell in row] for row in table.rows)
    return text.getvalue()


def _file_of(figure: Bars | Picture) -> str:
    return figure.path.name if isinstance(figure, Picture) else f"figure_{figure.number}.svg"
