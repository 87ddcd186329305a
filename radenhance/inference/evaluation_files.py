"""What `radenhance evaluate` writes: a line per radiograph and method, all of it, and a sheet.

No file names a file or a folder of the user, unless the dataset was opened with names.
"""

import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from radenhance import __version__, metric_names
from radenhance.arrays import Image
from radenhance.contact_sheet import TILE, Row, write_contact_sheet
from radenhance.dataset.pairs import PairDataset
from radenhance.dataset.resample import resample
from radenhance.files import replace_file
from radenhance.foreign_text import in_csv
from radenhance.inference.bootstrap import Mean
from radenhance.inference.evaluation import (
    MEASURES,
    RAW,
    SIMILARITIES,
    Evaluation,
    enhanced_by,
    open_pair,
)

DESCRIBED = ("case", "species", "body_part", "rows", "columns")

FAILURE = "failure"
"""Column of why a radiograph was passed over."""


def write_csv(path: Path, evaluation: Evaluation) -> None:
    """Write a line per radiograph and method, and one with the reason per radiograph passed over.

    Args:
        path: The file to write; an existing one is replaced.
        evaluation: What was measured.

    Raises:
        RadenhanceError: It cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*DESCRIBED, "method", *MEASURES, FAILURE])
    for index, described in enumerate(_described(evaluation)):
        for method, values in evaluation.values.items():
            figures = [f"{values[name][index]:.6g}" if name in values else "" for name in MEASURES]
            cells = [*described.values(), method, *figures, ""]
            writer.writerow([in_csv(cell) for cell in cells])
    for failure in evaluation.failures:
        others = [""] * (len(DESCRIBED) + len(MEASURES))
        writer.writerow([in_csv(cell) for cell in (failure.case, *others, failure.reason)])
    replace_file(path, text.getvalue().encode())


def write_json(path: Path, evaluation: Evaluation, asked: Mapping[str, Any]) -> None:
    """Write all that was measured, and what it was measured with.

    Args:
        path: The file to write; an existing one is replaced.
        evaluation: What was measured.
        asked: Flags and facts that the command adds, plain values.

    Raises:
        RadenhanceError: It cannot be written.
    """
    content = {
        "versions": {
            "radenhance": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "asked": dict(asked),
        "networks": {
            name: {
                "sha256": network.sha256,
                "at": network.at,
                "input": network.input,
                "description": network.description,
            }
            for name, network in evaluation.networks.items()
        },
        "means": _means(evaluation, None),
        "differences": list(_differences(evaluation)),
        "by": {
            column: {
                group: {"radiographs": len(where), "means": _means(evaluation, where)}
                for group, where in evaluation.groups(column).items()
            }
            for column in ("species", "body_part")
        },
        "cases": [
            described | {"measures": _of_case(evaluation, index)}
            for index, described in enumerate(_described(evaluation))
        ],
        "failures": [asdict(failure) for failure in evaluation.failures],
    }
    replace_file(path, json.dumps(content, indent=2, allow_nan=False).encode())


def write_sheet(path: Path, evaluation: Evaluation, dataset: PairDataset) -> None:
    """Draw the radiographs on which the first network is best, median and worst.

    They are enhanced once more: to keep all images until then would take the memory of all.

    Args:
        path: The PNG to write; an existing one is replaced.
        evaluation: What was measured.
        dataset: What it was measured on.

    Raises:
        RadenhanceError: It cannot be written.
    """
    rows = [
        _sheet_row(evaluation, dataset, index, title)
        for title, index in chosen_cases(evaluation).items()
    ]
    write_contact_sheet(path, rows)


def chosen_cases(evaluation: Evaluation) -> dict[str, int]:
    """Return best, median and worst by MS-SSIM of the first network, each case once."""
    first = next(iter(evaluation.networks))
    order = np.argsort(evaluation.values[first][metric_names.MS_SSIM], kind="stable")[::-1]
    ranks = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
    few = {1: ("best",), 2: ("best", "worst")}
    return {title: int(order[ranks[title]]) for title in few.get(len(order), ranks)}


def _sheet_row(evaluation: Evaluation, dataset: PairDataset, index: int, title: str) -> Row:
    case = evaluation.cases[index]
    opened = open_pair(dataset, case.index)
    shown = {RAW: opened.raw, "target": opened.target} | {
        name: enhanced_by(network, opened) for name, network in evaluation.networks.items()
    }
    about = ", ".join(filter(None, (case.name, case.species, case.body_part)))
    captions = [
        f"{name}, MS-SSIM {evaluation.values[name][metric_names.MS_SSIM][index]:.3f}"
        if metric_names.MS_SSIM in evaluation.values[name]
        else name
        for name in shown
    ]
    return Row(f"{title}: {about}", [_small(image) for image in shown.values()], captions)


def _small(image: Image) -> Image:
    return resample(image, TILE) if min(image.shape) > TILE else image


def _described(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for case in evaluation.cases:
        values = (case.name, case.species, case.body_part, *case.shape)
        yield dict(zip(DESCRIBED, values, strict=True))


def _means(evaluation: Evaluation, where: list[int] | None) -> dict[str, dict[str, Any]]:
    return {
        method: {name: asdict(evaluation.mean(method, name, where)) for name in values}
        for method, values in evaluation.values.items()
    }


def _differences(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for network in evaluation.networks:
        for measure in SIMILARITIES:
            best = evaluation.best_baseline(measure)
            for other in dict.fromkeys((RAW, best)):
                found: Mean = evaluation.difference(network, other, measure)
                better = measure != metric_names.MAE
                yield {
                    "measure": measure,
                    "method": network,
                    "minus": other,
                    "is_best_baseline": other == best,
                    **asdict(found),
                    "verdict": found.verdict(higher_is_better=better).value,
                }


def _of_case(evaluation: Evaluation, index: int) -> dict[str, dict[str, float]]:
    return {
        method: {name: float(of_all[index]) for name, of_all in values.items()}
        for method, values in evaluation.values.items()
    }
