"""The figures of an evaluation as text: means, what may be claimed, and figures by group."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from radenhance import metric_names
from radenhance.dataset.prediction import PredictAt
from radenhance.inference.bootstrap import FEWEST_PATIENTS, Mean, Verdict
from radenhance.inference.evaluation import (
    CONTRASTS,
    ENLARGED,
    MEASURES,
    NATIVE,
    RAW,
    SIMILARITIES,
    TARGET,
    Evaluation,
    better_way,
)
from radenhance.prepare.passed_over import listed

TITLES = {
    metric_names.MS_SSIM: "MS-SSIM",
    metric_names.SSIM: "SSIM",
    metric_names.PSNR: "PSNR, dB",
    metric_names.MAE: "MAE",
    metric_names.CNR: "CNR",
    metric_names.EME: "EME, dB",
}
DIGITS = {metric_names.PSNR: 2, metric_names.CNR: 2, metric_names.EME: 2}
"""Measure -> digits behind the point; 4 of the others, which are in [0, 1]."""

BEST = "the best without a network"

NAME, CELL = 22, 19
"""Characters of a name, and of a figure or its interval."""

CONTRAST_CELL, GROUP_CELL = 14, 13


def report(evaluation: Evaluation, *, title: str, notes: Sequence[str]) -> str:
    """Return an evaluation as text.

    Args:
        evaluation: What was measured.
        title: The first line.
        notes: Sentences on what was measured.
    """
    parts = [
        [title],
        _table(evaluation),
        [
            "Means, and below each its 95 % interval over patients (bootstrap). The target's own "
            "contrast was wanted:",
            "more is not better. PSNR is at most 100 dB; MAE is in [0, 1], of the whole range.",
            *notes,
            *_how_seen(evaluation),
        ],
        _claims(evaluation),
        _group_table(evaluation, "species"),
        _group_table(evaluation, "body_part"),
        list(_ways(evaluation)),
        listed(evaluation.failures),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _table(evaluation: Evaluation) -> list[str]:
    lines = [_line("", [TITLES[measure] for measure in MEASURES])]
    for method, values in evaluation.values.items():
        means = {name: evaluation.mean(method, name) for name in values}
        lines.append(_line(method, [_figure(name, means.get(name)) for name in MEASURES]))
        if any(mean.interval for mean in means.values()):
            lines.append(_line("", [_interval(name, means.get(name)) for name in MEASURES]))
    return lines


def _how_seen(evaluation: Evaluation) -> Iterator[str]:
    total = len(evaluation.cases)
    for name, network in evaluation.networks.items():
        reduced = len(evaluation.reduced(name, network.at))
        if reduced:
            yield (
                f"The {name} saw {reduced} of {total} radiographs reduced to "
                f"{network.input['image_size']} px; its correction was enlarged and added."
            )


def _claims(evaluation: Evaluation) -> list[str]:
    """Return each network's differences from the raw images and from the best baselines."""
    best = {measure: evaluation.best_baseline(measure) for measure in SIMILARITIES}
    opponents = {RAW: dict.fromkeys(SIMILARITIES, RAW), "the best": best}
    lines = [
        _line("difference", [TITLES[measure] for measure in SIMILARITIES]),
        _line("the best is", [best[measure] for measure in SIMILARITIES]),
    ]
    sentences = []
    for network in evaluation.networks:
        lines.append(f"{network} against")
        for opponent, others in opponents.items():
            found = {m: evaluation.difference(network, others[m], m) for m in SIMILARITIES}
            lines += _differences(f"  {opponent}", found)
            sentences.append(_sentence(network, RAW if opponent == RAW else BEST, found))
    return [*lines, "", *dict.fromkeys(sentences)]


def _differences(name: str, found: Mapping[str, Mean]) -> list[str]:
    lines = [_line(name, [_figure(m, mean, "+") for m, mean in found.items()])]
    if any(mean.interval for mean in found.values()):
        lines.append(_line("", [_interval(m, mean, "+") for m, mean in found.items()]))
    return lines


def _sentence(method: str, other: str, found: Mapping[str, Mean]) -> str:
    """Return what may be claimed of differences, measure by measure."""
    if not any(mean.interval for mean in found.values()):
        return f"Nothing is claimed of fewer than {FEWEST_PATIENTS} patients."
    measures: dict[Verdict, list[str]] = {}
    for measure, mean in found.items():
        verdict = mean.verdict(higher_is_better=measure != metric_names.MAE)
        measures.setdefault(verdict, []).append(TITLES[measure].partition(",")[0])
    said = [f"{v.value} {other} in {_listed(measures[v])}" for v in Verdict if v in measures]
    return f"The {method} {'; it '.join(said)}."


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _group_table(evaluation: Evaluation, column: Literal["species", "body_part"]) -> list[str]:
    groups = evaluation.groups(column)
    if not groups:
        return []
    measure = metric_names.MS_SSIM
    methods = [name for name in evaluation.values if name != TARGET]
    network = next(iter(evaluation.networks))
    best = evaluation.best_baseline(measure)
    heading = f"{TITLES[measure]} by {column.replace('_', ' ')}"
    widths = [max(GROUP_CELL, len(name) + 2) for name in ("radiographs", *methods)]
    lines = [f"{heading:<{NAME}}" + _aligned(["radiographs", *methods], widths)]
    lines[0] += f"   {network} - {best}"
    for group, where in groups.items():
        figures = [_figure(measure, evaluation.mean(name, measure, where)) for name in methods]
        difference = evaluation.difference(network, best, measure, where)
        interval = _interval(measure, difference, "+") or "too few patients"
        said = f"   {_figure(measure, difference, '+')} ({interval})"
        lines.append(f"{group:<{NAME}}" + _aligned([str(len(where)), *figures], widths) + said)
    return lines


def _ways(evaluation: Evaluation) -> Iterator[str]:
    """Yield which way to run each network is better, where both were measured."""
    for name in evaluation.networks:
        network = name.removesuffix(f" ({NATIVE})")
        if name == network:
            continue
        where = evaluation.reduced(name, "training")
        if not where:
            yield f"No radiograph is larger than the {network} was trained on: both ways are one."
            continue
        other = f"{network} ({ENLARGED})"
        found = {m: evaluation.difference(other, name, m, where) for m in SIMILARITIES}
        yield from _differences(f"{ENLARGED} - {NATIVE}", found)
        yield _sentence(other, name, found)
        yield _advice(better_way(evaluation, network))


def _advice(size: PredictAt) -> str:
    if size == "auto":
        return "Which way is better is not shown: leave --at and --data.predict_at at auto."
    return (
        f"On radiographs like these give --at {size} to enhance, and --data.predict_at {size} to "
        f"predict."
    )


def _line(name: str, cells: Sequence[str]) -> str:
    """Return a line of figures in the order of MEASURES, or of the first of them."""
    widths = [CELL] * len(SIMILARITIES) + [CONTRAST_CELL] * len(CONTRASTS)
    return f"{name:<{NAME}}" + _aligned(cells, widths)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))


def _figure(measure: str, mean: Mean | None, sign: str = "") -> str:
    return "" if mean is None else f"{mean.value:{sign}.{DIGITS.get(measure, 4)}f}"


def _interval(measure: str, mean: Mean | None, sign: str = "") -> str:
    if mean is None or mean.interval is None:
        return ""
    low, high = (f"{end:{sign}.{DIGITS.get(measure, 4)}f}" for end in mean.interval)
    return f"{low} to {high}"
