"""The report as Markdown, as one HTML file, and as CSV.

Markdown is for a repository, the page for whoever gets one file by mail, and CSV for whoever goes
on calculating: all three are made of the same tables, so that they cannot differ.
"""

import base64
import csv
import io
import json
from collections.abc import Sequence
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

STYLE = (
    "body{font:15px sans-serif;max-width:1200px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:3px 8px;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)
NOTES = (
    "`measured` memory is that of PyTorch's allocator on a GPU, by the memory profiler; `planned` "
    "memory is that of the same step on fake tensors (`radenhance plan`): what could not run here, "
    "or ran without a GPU. Plans of sizes that did not run are of the recipe's own network. Of two "
    "GPUs the mean is given, as in the paper. Losses are those of the last epoch."
)


def write_report(results: Results) -> Path:
    """Write report.md, report.html, figures and CSV into the study's folder; return the page."""
    out = results.study.out
    made, drawn = tables(results), bars(results)
    images = pictures(results, out)
    for table in made:
        replace_file(out / f"{table.name}.csv", _csv(table).encode())
    for i, figure in enumerate(drawn):
        replace_file(out / _file_of(i, figure), figure.svg.encode())
    replace_file(out / "report.md", _markdown(results, made, drawn, images).encode())
    page = out / "report.html"
    replace_file(page, _html(results, made, drawn, images).encode())
    return page


def _heading(results: Results) -> list[str]:
    study = results.study
    done = sum(len(figures) for figures in results.figures.values())
    return [
        f"{done} of {len(study.runs)} runs are done: {one_line(study.encoder or 'ResNet-34')}, "
        f"{', '.join(map(str, study.sizes))} px, {study.epochs} epochs, seeds "
        f"{', '.join(map(str, study.seeds))}, batches of one.",
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


def _markdown(
    results: Results, made: Sequence[Table], drawn: Sequence[Bars], images: Sequence[Picture]
) -> str:
    lines = ["# The paper's tables and figures, and ours", "", f"**{take_home(results)}**", ""]
    lines += [f"- {line}" for line in claims(results)]
    lines += ["", *_heading(results), "", NOTES, ""]
    lines += [f"- {line}" for line in _failures(results)]
    for table in made:
        lines += ["", f"## {table.title}", "", _markdown_row(table.columns)]
        lines += [_markdown_row(["---"] + ["---:"] * (len(table.columns) - 1))]
        lines += [_markdown_row(row) for row in table.rows]
    for i, figure in enumerate(drawn):
        lines += ["", f"## {figure.title}", "", f"![{figure.title}]({_file_of(i, figure)})"]
    for picture in images:
        lines += ["", f"## {picture.title}", "", f"![{picture.title}]({picture.path.name})"]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _html(
    results: Results, made: Sequence[Table], drawn: Sequence[Bars], images: Sequence[Picture]
) -> str:
    title = "The paper's tables and figures, and ours"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{STYLE}</style><h1>{title}</h1><p><b>{in_html(take_home(results))}</b></p><ul>",
        *(f"<li>{in_html(line)}</li>" for line in (*claims(results), *_failures(results))),
        "</ul>",
        *(f"<p>{in_html(line)}</p>" for line in (*_heading(results), NOTES.replace("`", ""))),
    ]
    for table in made:
        parts.append(f"<h2>{in_html(table.title)}</h2><table>{_html_row(table.columns, 'th')}")
        parts += [*(_html_row(row, "td") for row in table.rows), "</table>"]
    parts += [f"<h2>{in_html(figure.title)}</h2>{figure.svg}" for figure in drawn]
    for picture in images:
        data = base64.b64encode(picture.path.read_bytes()).decode()
        parts.append(
            f'<h2>{in_html(picture.title)}</h2><img src="data:image/png;base64,{data}" alt="">'
        )
    return "".join(parts) + "</html>\n"


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{in_html(cell)}</{tag}>" for cell in cells) + "</tr>"


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([in_csv(one_line(cell)) for cell in row] for row in table.rows)
    return text.getvalue()


def _file_of(index: int, figure: Bars) -> str:
    return f"figure_{figure.number}_{index}.svg"
