"""The table of folds: a row per fold, their mean and spread, all patients together, each species.

Rows are flat, so that the CSV, the JSON and the printed table are of the same figures.
"""

import csv
import io
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from radenhance import metric_names
from radenhance.command_line.evaluation_table import DIGITS, TITLES
from radenhance.foreign_text import in_csv, in_markdown
from radenhance.inference.evaluation import NETWORK, RAW, SIMILARITIES, Evaluation

Row = dict[str, Any]

FOLD, SUMMARY, ALL, SPECIES = "fold", "over folds", "all", "species"
"""Kinds of rows."""

FIGURES = ("", "_raw", "_difference")
"""Of each measure, behind its name: the network's, the raw image's, and by how much they differ."""

ENDS = ("_difference_low", "_difference_high")
"""The ends of the interval of that difference."""

SHOWN = (metric_names.MS_SSIM, metric_names.PSNR)
"""Measures of the printed table; files have all of SIMILARITIES."""


def rows_of(evaluation: Evaluation, sizes: Sequence[int]) -> list[Row]:
    """Return the rows of the table.

    Args:
        evaluation: Of all folds, one after the other.
        sizes: Number of radiographs in each fold.
    """
    folds, begin = [], 0
    for number, size in enumerate(sizes, 1):
        folds.append(_row(evaluation, FOLD, str(number), range(begin, begin + size)))
        begin += size
    groups = evaluation.groups("species")
    return [
        *folds,
        *_over(folds),
        _row(evaluation, ALL, "all patients", range(begin)),
        *(_row(evaluation, SPECIES, name, where) for name, where in groups.items()),
    ]


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown.

    Args:
        rows: What `rows_of` returned.
    """
    head = ["", "patients", "radiographs"]
    for measure in SHOWN:
        head += [TITLES[measure], "raw", "difference"]
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV; what a row does not have is empty.

    Args:
        rows: What `rows_of` returned.
    """
    columns = ["kind", "name", "patients", "radiographs", "species"]
    columns += [f"{name}{figure}" for name in SIMILARITIES for figure in (*FIGURES, *ENDS)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: in_csv(_written(value)) for name, value in row.items()})
    return text.getvalue()


def _row(evaluation: Evaluation, kind: str, name: str, where: Sequence[int]) -> Row:
    cases = [evaluation.cases[index] for index in where]
    species = Counter(case.species or "unknown" for case in cases)
    row: Row = {
        "kind": kind,
        "name": name,
        "patients": len({case.patient for case in cases}),
        "radiographs": len(cases),
        "species": ", ".join(f"{number} {one}" for one, number in sorted(species.items())),
    }
    for measure in SIMILARITIES:
        difference = evaluation.difference(NETWORK, RAW, measure, where)
        values = (
            evaluation.mean(NETWORK, measure, where).value,
            evaluation.mean(RAW, measure, where).value,
            difference.value,
        )
        row |= {f"{measure}{of}": value for of, value in zip(FIGURES, values, strict=True)}
        ends = difference.interval or ()
        row |= {f"{measure}{of}": end for of, end in zip(ENDS, ends, strict=False)}
    return row


def _over(folds: Sequence[Row]) -> Iterator[Row]:
    """Yield mean and standard deviation of the folds' figures."""
    for name, function in (("mean", statistics.fmean), ("standard deviation", statistics.stdev)):
        figures = {
            f"{measure}{of}": function([row[f"{measure}{of}"] for row in folds])
            for measure in SIMILARITIES
            for of in FIGURES
        }
        yield {"kind": SUMMARY, "name": f"{name} of folds", **figures}


def _cells(row: Row) -> list[str]:
    name = f"fold {row['name']}" if row["kind"] == FOLD else in_markdown(row["name"])
    number = str(row.get("radiographs", ""))
    if row["kind"] == FOLD:
        number += f" ({in_markdown(row['species'])})"
    cells = [name, str(row.get("patients", "")), number]
    is_spread = name.startswith("standard")
    for measure in SHOWN:
        digits = DIGITS.get(measure, 4)
        signs = ("", "", "" if is_spread else "+")
        figures = [
            f"{row[f'{measure}{of}']:{sign}.{digits}f}"
            for of, sign in zip(FIGURES, signs, strict=True)
        ]
        low, high = (row.get(f"{measure}{of}") for of in ENDS)
        if low is not None and high is not None:
            figures[-1] += f" ({low:+.{digits}f} to {high:+.{digits}f})"
        cells += figures
    return cells


def _written(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
